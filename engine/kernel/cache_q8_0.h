/* A cache in Q8_0 as floats: plain loops, which every file that includes this compiles for its own
 * instructions. */

static void keys_q8_0(float *y, const int8_t *q, const float *d, int head_dim)
{
    for (int b = 0; b < head_dim; b += RR_QK, d += RR_PANEL)
        for (int i = 0; i < RR_QK; i++, q += RR_PANEL, y += RR_PANEL)
            for (int c = 0; c < RR_PANEL; c++)
                y[c] = (float)q[c] * d[c];
}

static void values_q8_0(float *y, const int8_t *q, const float *d, int head_dim)
{
    for (int b = 0; b < head_dim; b += RR_QK, d++, q += RR_QK, y += RR_QK)
        for (int i = 0; i < RR_QK; i++)
            y[i] = (float)q[i] * *d;
}
