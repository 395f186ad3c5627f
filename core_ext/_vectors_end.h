/* Takes back what _vectors_body.h defined, so that the next level may follow. */
#undef WIDTH
#undef FMA
#undef V
#undef B
#undef M
#undef LT
#undef LE
#undef GT
#undef GE
#undef NE
#undef SPLAT
