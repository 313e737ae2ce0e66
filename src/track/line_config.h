/* A line's configuration, read once: its parts (line_config.c), then the ways between them and the
 * gates that see units on these (line_ways.c). What is wrong is said with its line, and what to
 * write instead. */
#ifndef LOTLINE_TRACK_LINE_CONFIG_H
#define LOTLINE_TRACK_LINE_CONFIG_H

#include "track/line.h"

/* ------------------------------------------------------------------------------- line_config.c */

#define LINE_OUT "out" /* where a way leads that leaves the line */

extern const struct option line_gate_table[];

/* LINE_NONE: there is no such part. */
uint16_t line_part_find(const struct line *l, const char *name);

/* Says so, and which one may be meant: ERR_NOT_FOUND. */
int line_part_missing(const struct line *l, const struct tree *tree, const char *name,
                      struct diag *diag);

/* That it is a list of 1 to max; example: one of its items. ERR_TYPE, ERR_LIMIT. */
int line_list_check(const struct tree *list, const char *name, const char *example, uint32_t max,
                    struct diag *diag);

/* --------------------------------------------------------------------------------- line_ways.c */

/* The ways that the parts' `to` say, those from outside, and those out of the line. */
int line_ways_bind(struct line *l, struct arena *arena, struct diag *diag);

/* That units can come to each part (forward), and from each part out of the line. */
int line_ways_reach(const struct line *l, bool forward, struct diag *diag);

/* The gates, and of each way the one that sees it. After the ways. */
int line_gates_bind(struct line *l, struct arena *arena, struct diag *diag);

#endif
