/* Records of the zip format (PKWARE's APPNOTE.TXT, 4.3), as far as .npz files use them. */
#ifndef MMCL_IO_ZIP_H
#define MMCL_IO_ZIP_H

#include <stdint.h>

#define MMCL__ZIP_LOCAL     0x04034b50u
#define MMCL__ZIP_CENTRAL   0x02014b50u
#define MMCL__ZIP_END       0x06054b50u
#define MMCL__ZIP64_END     0x06064b50u
#define MMCL__ZIP64_LOCATOR 0x07064b50u

#define MMCL__ZIP_LOCAL_BYTES     30 /* without name and extra field */
#define MMCL__ZIP_CENTRAL_BYTES   46
#define MMCL__ZIP_END_BYTES       22
#define MMCL__ZIP64_END_BYTES     56
#define MMCL__ZIP64_LOCATOR_BYTES 20

#define MMCL__ZIP_EXTRA_ZIP64   0x0001u
#define MMCL__ZIP_EXTRA_PADDING 0xd935u /* alignment padding, as zipalign marks it */

#define MMCL__ZIP_FLAG_ENCRYPTED  0x2041u /* bits 0, 6 and 13: kinds of encryption */
#define MMCL__ZIP_FLAG_DESCRIPTOR 0x0008u /* sizes and checksum follow the data; the local header may lack them */
#define MMCL__ZIP_FLAG_UTF8       0x0800u

#define MMCL__ZIP_STORED   0
#define MMCL__ZIP_DEFLATED 8

#endif
