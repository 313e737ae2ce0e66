-- all of it
SELECT n /* the
number */ FROM p -- end