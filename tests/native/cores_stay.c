/* Moving threads about changes where they run and never where they may run. */
#define _GNU_SOURCE
#include "check.h"
#include "cores.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static cpu_set_t allowed_of(pthread_t thread)
{
    cpu_set_t set;
    CHECK(pthread_getaffinity_np(thread, sizeof set, &set) == 0);
    return set;
}

static void moving_off_keeps_what_is_allowed(void)
{
    cpu_set_t before = allowed_of(pthread_self()), here, after;
    int cpu = sched_getcpu();
    CHECK(cpu >= 0);
    CPU_ZERO(&here);
    CPU_SET((size_t)cpu, &here);
    luthier_move_off(&here);
    after = allowed_of(pthread_self());
    CHECK(CPU_EQUAL(&before, &after));
    luthier_move_off(&before); /* every core is taken: stay */
    after = allowed_of(pthread_self());
    CHECK(CPU_EQUAL(&before, &after));
    CPU_ZERO(&here);
    luthier_move_off(&here); /* none is */
    after = allowed_of(pthread_self());
    CHECK(CPU_EQUAL(&before, &after));
}

static atomic_bool stop;

static void *sleeps(void *argument)
{
    while (!atomic_load(&stop))
        usleep(1000);
    return argument;
}

static void *spins(void *argument)
{
    while (!atomic_load(&stop))
        ;
    return argument;
}

static void fetching_keeps_what_is_allowed(void *(*body)(void *))
{
    pthread_t thread;
    int64_t ran = 0;
    atomic_store(&stop, false);
    CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
    cpu_set_t before = allowed_of(thread), after;
    for (int i = 0; i < 200; i++) {
        int64_t earlier = ran;
        luthier_fetch_stalled(thread, &ran);
        CHECK(ran >= earlier);
        after = allowed_of(thread);
        CHECK(CPU_EQUAL(&before, &after));
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

int main(void)
{
    alarm(60);
    moving_off_keeps_what_is_allowed();
    fetching_keeps_what_is_allowed(sleeps);
    fetching_keeps_what_is_allowed(spins);
    return 0;
}
