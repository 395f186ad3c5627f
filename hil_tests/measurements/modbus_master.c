/* A Modbus TCP master that asks as fast as it is answered: FC 3 or 4, one request under way.
   Arguments: port, function, address, count, requests. Prints "seconds p50 p99" (latencies in us). */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    int port = atoi(argv[1]), function = atoi(argv[2]), address = atoi(argv[3]), count = atoi(argv[4]);
    int requests = atoi(argv[5]), size = 9 + 2 * count, one = 1;
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    unsigned char ask[12] = {0, 1, 0, 0, 0, 6, 1, function, address >> 8, address & 255, 0, count}, told[300];
    float *latency_us = malloc(requests * sizeof *latency_us);
    int link = socket(AF_INET, SOCK_STREAM, 0);

    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(link, (struct sockaddr *)&where, sizeof where))
        return 3;
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    double began = now();
    for (int n = 0; n < requests; n++) {
        double asked = now();
        if (send(link, ask, sizeof ask, 0) != sizeof ask)
            return 4;
        for (int have = 0; have < size;) {
            int got = recv(link, told + have, size - have, 0);
            if (got <= 0)
                return 4;
            have += got;
        }
        if (told[7] != function || told[8] != 2 * count)
            return 5;
        latency_us[n] = 1e6 * (now() - asked);
    }
    double took = now() - began;
    qsort(latency_us, requests, sizeof *latency_us, rising);
    printf("%.6f %.1f %.1f\n", took, latency_us[requests / 2], latency_us[requests / 100 * 99]);
    return 0;
}
