#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cores.h"

#include <time.h>

void luthier_move_off(const cpu_set_t *taken)
{
    cpu_set_t allowed, wanted;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    CPU_AND(&wanted, &allowed, taken);
    CPU_XOR(&wanted, &allowed, &wanted); /* allowed and not taken */
    if (CPU_COUNT(&wanted) > 0 && sched_setaffinity(0, sizeof wanted, &wanted) == 0)
        sched_setaffinity(0, sizeof allowed, &allowed);
}

/* CPU time of a thread; -1 where the system does not tell. */
static int64_t thread_time_ns(pthread_t thread)
{
    clockid_t clock;
    struct timespec t;
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return -1;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void luthier_fetch_stalled(pthread_t thread, int64_t *ran_ns)
{
    int64_t ran = thread_time_ns(thread);
    int cpu = sched_getcpu();
    cpu_set_t allowed, here;
    CPU_ZERO(&here);
    if (cpu >= 0)
        CPU_SET((size_t)cpu, &here);
    if (ran >= 0 && ran == *ran_ns &&
        pthread_getaffinity_np(thread, sizeof allowed, &allowed) == 0 &&
        pthread_setaffinity_np(thread, sizeof here, &here) == 0)
        pthread_setaffinity_np(thread, sizeof allowed, &allowed);
    *ran_ns = ran;
}
