/* Half floats, every one of them. */
#include "tests/test.h"

#include <math.h>
#include "engine/kernel/kernel.h"
#include "tests/make_inputs.h"

Test(kernel, f16_decodes_every_value)
{
    for (unsigned h = 0; h < 65536; h++) {
        const int exp = (int)(h >> 10 & 31), frac = (int)(h & 1023);
        double v = exp ? ldexp(1024 + frac, exp - 25) : ldexp(frac, -24);
        v = h & 0x8000 ? -v : v;
        const float f = rr_f16_to_f32((uint16_t)h);
        CHECK(!signbit(f) == !(h & 0x8000), "f16 %04x lost its sign", h);
        if (exp < 31)
            CHECK((double)f == v, "f16 %04x is %g; expected %g", h, (double)f, v);
        else if (frac)
            CHECK(isnan(f), "f16 %04x is %g; expected a NaN", h, (double)f);
        else
            CHECK(isinf(f), "f16 %04x is %g; expected infinity", h, (double)f);
        const uint16_t back = rr_f32_to_f16(f);
        if (exp == 31 && frac)
            CHECK((back & 0x7C00) == 0x7C00 && (back & 0x3FF), "f16 NaN %04x comes back as %04x", h,
                  (unsigned)back);
        else
            CHECK(back == h, "f16 %04x comes back as %04x", h, (unsigned)back);
    }
}

static void check_f16(float f, unsigned expected)
{
    CHECK(rr_f32_to_f16(f) == expected, "%a becomes f16 %04x; expected %04x", (double)f,
          (unsigned)rr_f32_to_f16(f), expected);
    CHECK(rr_f32_to_f16(-f) == (expected | 0x8000), "%a becomes f16 %04x; expected %04x",
          (double)-f, (unsigned)rr_f32_to_f16(-f), expected | 0x8000);
}

Test(kernel, f16_rounds_to_nearest_even)
{
    /* Between each half and the next; the one above 65504 would be 65536, were it not infinity. */
    for (unsigned h = 0; h < 0x7C00; h++) {
        const float low = rr_f16_to_f32((uint16_t)h);
        const float high = h + 1 < 0x7C00 ? rr_f16_to_f32((uint16_t)(h + 1)) : 65536.0f;
        const float middle = low + (high - low) / 2;
        check_f16(middle, h & 1 ? h + 1 : h);
        check_f16(nextafterf(middle, 0), h);
        check_f16(nextafterf(middle, 1e30f), h + 1);
    }
    check_f16(65536.0f, 0x7C00);
    check_f16(3e38f, 0x7C00);
    check_f16(INFINITY, 0x7C00);
    check_f16(0x1p-149f, 0);
    cr_assert((rr_f32_to_f16(NAN) & 0x7FFF) > 0x7C00, "NaN becomes f16 %04x",
              (unsigned)rr_f32_to_f16(NAN));
}
