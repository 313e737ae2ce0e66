/* Inspection results as CSV files: DIR/spi, DIR/aoi, DIR/ict and DIR/rework.
 *
 * Machines write under the final name while they still write: a third of the files appear with
 * their first half, cut in the middle of a line, and get the rest a moment later. Columns: ts
 * (RFC 3339), serial, test, value, defect, refdes (BOARD.POSITION), result. A defect that was found
 * is a row with its name; the ICT knows only that there is no contact, or one too many. */
#include "base/clock.h"
#include "sim/plant_ports.h"

#include <errno.h>
#include <sys/stat.h>

#define HEADER    "ts,serial,test,value,defect,refdes,result\n"
#define REST_US   400000
#define HALF_ODDS 3 /* one in so many */

struct row {
    const char *test;
    double value;
    const char *defect;
    const char *refdes;
    const char *result;
};

int plant_files_start(struct plant_files *f, const char *folder, uint32_t every,
                      const struct scenario *s)
{
    static const uint8_t stations[] = {SPI, AOI, ICT, REWORK};
    *f = (struct plant_files){.folder = folder, .every = every};
    rand_seed(&f->rand, s->seed * 4 + 7);
    renaming_make(s->names, &f->names);
    if (folder && mkdir(folder, 0755) && errno != EEXIST)
        return err_from_errno(errno);
    for (size_t i = 0; folder && i < sizeof stations; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder,
                       renamed(&f->names, plant_station_names[stations[i]]).text);
        if (mkdir(path, 0755) && errno != EEXIST)
            return err_from_errno(errno);
    }
    return OK;
}

static void row_add(struct buf *out, const char *ts, const char *serial, struct row r)
{
    (void)buf_printf(out, "%s,%s,%s,%.3f,%s,%s,%s\n", ts, serial, r.test, r.value, r.defect,
                     r.refdes, r.result);
}

static void rows_of_defects(const struct plant_files *f, struct buf *out, const char *ts,
                            const struct unit *u, enum machine station)
{
    for (uint32_t i = 0; i < u->defect_count; i++) {
        const struct found *d = &u->defects[i];
        struct name name = renamed(&f->names, plant_defect_names[d->defect]);
        bool print = d->defect == OFFSET_PRINT;
        char where[16];
        if ((station == SPI) != print)
            continue;
        (void)snprintf(where, sizeof where, "%u.%s", d->board + 1u, plant_positions[d->position]);
        row_add(out, ts, u->serial, (struct row){"inspection", 0, name.text, where, "fail"});
    }
    if (defect_result(u, station) == PASS)
        row_add(out, ts, u->serial, (struct row){"inspection", 0, "", "", "pass"});
}

static void rows_of_spi(struct plant_files *f, struct buf *out, const char *ts,
                        const struct unit *u)
{
    double volume = 100 + 5 * rand_normal(&f->rand);
    const char *result = defect_result(u, SPI) == PASS ? "pass" : "fail";
    row_add(out, ts, u->serial, (struct row){"volume", volume, "", "", "pass"});
    row_add(out, ts, u->serial, (struct row){"offset", u->offset_um, "", "", result});
    rows_of_defects(f, out, ts, u, SPI);
}

static void rows_of_ict(struct plant_files *f, struct buf *out, const char *ts,
                        const struct unit *u)
{
    bool contact = false;
    bool bad = defect_electrical(u, &contact);
    double ohm = (10 + 0.08 * rand_normal(&f->rand)) * (!bad ? 1 : contact ? 0.02 : 97);
    struct name symptom = renamed(&f->names, bad ? plant_symptoms[contact] : "");
    row_add(out, ts, u->serial,
            (struct row){"resistance", ohm, symptom.text, "", bad ? "fail" : "pass"});
}

static void rows_of_rework(struct plant_files *f, struct buf *out, const char *ts,
                           const struct unit *u)
{
    double minutes = 3 + 2 * rand_double(&f->rand);
    row_add(out, ts, u->serial, (struct row){"repair", minutes, "", "", "rework"});
}

static void file_write(const char *path, const char *mode, struct bytes text)
{
    FILE *to = fopen(path, mode);
    if (!to || fwrite(text.ptr, 1, text.len, to) != text.len)
        (void)fprintf(stderr, "sim plant: %s cannot be written: %s\n", path,
                      err_text(err_from_errno(errno)));
    if (to)
        (void)fclose(to);
}

/* Writes the file: whole, or its first half now and the rest later. */
static void file_drop(struct plant_files *f, enum machine station, bool whole)
{
    struct buf *text = &f->open[station].text;
    char path[512];
    struct name name = renamed(&f->names, plant_station_names[station]);
    (void)snprintf(path, sizeof path, "%s/%s/%s-%06u.csv", f->folder, name.text, name.text,
                   ++f->open[station].files);
    size_t now = text->len;
    bool halved = rand_below(&f->rand, HALF_ODDS) == 0;
    if (halved && !whole && f->pending_count < FILES_PENDING_MAX)
        now = text->len - (text->len - strlen(HEADER)) / 2;
    file_write(path, "we", bytes_of(text->ptr, now));
    if (now < text->len) {
        uint32_t i = f->pending_count++;
        memcpy(f->pending[i].path, path, sizeof path);
        f->pending[i].due_us = clock_mono_us() + REST_US;
        (void)buf_append(&f->pending[i].rest, text->ptr + now, text->len - now);
    }
    buf_reset(text);
    f->open[station].inspections = 0;
}

void plant_files_inspected(struct plant_files *f, struct plant *p, const struct unit *u,
                           enum machine station)
{
    if (!f->folder)
        return;
    struct buf *out = &f->open[station].text;
    char ts[CLOCK_TEXT_BYTES_MAX];
    (void)clock_format(plant_wall(p, p->now_us), ts);
    if (out->len == 0)
        (void)buf_append_text(out, HEADER);
    if (station == SPI)
        rows_of_spi(f, out, ts, u);
    else if (station == AOI)
        rows_of_defects(f, out, ts, u, AOI);
    else if (station == ICT)
        rows_of_ict(f, out, ts, u);
    else
        rows_of_rework(f, out, ts, u);
    if (++f->open[station].inspections >= f->every)
        file_drop(f, station, f->every > 1);
}

void plant_files_every(struct plant_files *f, uint32_t every)
{
    for (unsigned i = 0; i < STATIONS; i++) {
        if (f->open[i].text.len > 0)
            file_drop(f, (enum machine)i, true);
    }
    f->every = every;
}

void plant_files_tick(struct plant_files *f, bool end)
{
    int64_t now = clock_mono_us();
    for (uint32_t i = 0; i < f->pending_count;) {
        if (!end && f->pending[i].due_us > now) {
            i++;
            continue;
        }
        file_write(f->pending[i].path, "ae", buf_bytes(&f->pending[i].rest));
        buf_fini(&f->pending[i].rest);
        f->pending_count--;
        f->pending[i] = f->pending[f->pending_count];
        f->pending[f->pending_count].rest = (struct buf){0}; /* it moved */
    }
    if (end)
        plant_files_every(f, f->every);
    for (unsigned i = 0; end && i < STATIONS; i++)
        buf_fini(&f->open[i].text);
}
