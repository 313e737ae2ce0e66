/* CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected), as in iSCSI (RFC 3720, 12.1).
 *
 * Chosen for the segments because processors compute it: a record costs less to check than to copy.
 */
#ifndef LOTLINE_JOURNAL_CRC32C_H
#define LOTLINE_JOURNAL_CRC32C_H

#include "base/bytes.h"

/* Goes on from crc (0 for the first piece), so that pieces may be added one after the other. */
uint32_t crc32c(uint32_t crc, struct bytes v);

/* The same, and copies v to out (v.len bytes, no overlap). */
uint32_t crc32c_copy(uint32_t crc, uint8_t *out, struct bytes v);

/* As crc32c without the processor's help; for tests, and where there is none. */
uint32_t crc32c_portable(uint32_t crc, struct bytes v);

#endif
