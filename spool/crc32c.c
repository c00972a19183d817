#include "platform/cpu.h"
#include "spool/format.h"

#define POLYNOMIAL 0x82f63b78u /* Castagnoli, bit-reversed */

/* slices[k][b]: the checksum of byte b with k zero bytes behind it; eight bytes are looked up at once.
 * Filled at first use. */
static uint32_t slices[8][256];

static void fill_slices(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        slices[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++)
            slices[k][b] = slices[k - 1][b] >> 8 ^ slices[0][slices[k - 1][b] & 0xff];
}

uint32_t spool_crc32c_portable(uint32_t crc, gv_span bytes)
{
    const uint8_t *p = bytes.data;
    size_t left = bytes.len;

    if (slices[0][1] == 0)
        fill_slices();
    crc = ~crc;
    for (; left >= 8; p += 8, left -= 8) {
        uint32_t low = crc ^ gv_get_le32(p), high = gv_get_le32(p + 4);
        crc = slices[7][low & 0xff] ^ slices[6][low >> 8 & 0xff] ^ slices[5][low >> 16 & 0xff] ^
              slices[4][low >> 24] ^ slices[3][high & 0xff] ^ slices[2][high >> 8 & 0xff] ^
              slices[1][high >> 16 & 0xff] ^ slices[0][high >> 24];
    }
    for (; left > 0; p++, left--)
        crc = crc >> 8 ^ slices[0][(crc ^ *p) & 0xff];
    return ~crc;
}

/* The instructions that the function below is made of; the rest of the program is compiled without. */
#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC_TARGET         __attribute__((target("sse4.2")))
#define CRC_EIGHT(crc, v)  (uint32_t) _mm_crc32_u64(crc, v)
#define CRC_ONE(crc, byte) _mm_crc32_u8(crc, byte)
#elif defined(__aarch64__)
#include <arm_acle.h>
#define CRC_TARGET         __attribute__((target("+crc")))
#define CRC_EIGHT(crc, v)  __crc32cd(crc, v)
#define CRC_ONE(crc, byte) __crc32cb(crc, byte)
#endif

#ifdef CRC_TARGET
CRC_TARGET static uint32_t by_instruction(uint32_t crc, gv_span bytes)
{
    const uint8_t *p = bytes.data;
    size_t left = bytes.len;

    crc = ~crc;
    for (; left >= 8; p += 8, left -= 8)
        crc = CRC_EIGHT(crc, gv_get_le64(p));
    for (; left > 0; p++, left--)
        crc = CRC_ONE(crc, *p);
    return ~crc;
}
#endif

uint32_t spool_crc32c(uint32_t crc, gv_span bytes)
{
#ifdef CRC_TARGET
    if (plat_cpu_has_crc32c())
        return by_instruction(crc, bytes);
#endif
    return spool_crc32c_portable(crc, bytes);
}
