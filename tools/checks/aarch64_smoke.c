/* Friction laws and the vector logarithm of the solver, printed to the last digit.
 *
 * Built for two machines and run on both, the outputs must be the same but for the last digits of the C
 * library's own logarithm. It is no test of the laws themselves: core_ext/tests has those.
 */
#include <stdio.h>

#include "_newton.h"

int main(void) {
    /* Re per flow, coefficient, minor loss, roughness / 3.7 D of a pipe of 100 m, DN 100, water at 75 degC */
    const double pipe[4] = {33506.4, 8315.6, 12.47, 2.7e-4};
    for (int form = 0; form <= NIKURADSE; ++form) {
        for (double m = 1e-6; m < 1e3; m *= 3.1) {
            double slope, drop = pipe_one(form, -m, pipe, 1, &slope);
            printf("%.17g %.17g\n", drop, slope);
        }
    }
    for (double x = 1e-300; x < 1e300; x *= 1234.5) {
        TV_baseline in[16], out[16];
        for (int i = 0; i < 16; ++i) {
            in[i] = (TV_baseline){x, 3.0 * x};
        }
        log_baseline(in, out);
        printf("%.17g %.17g\n", out[0][0], out[0][1]);
    }
    printf("%d\n", highest_level());
    return 0;
}
