/* Where threads run. The kernel stays free to move them: no affinity is changed for good. */
#ifndef LUTHIER_CORES_H
#define LUTHIER_CORES_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>

/* Moves the calling thread to a core that is not taken, if it may use one. */
void luthier_move_off(const cpu_set_t *taken);

/* Brings a thread to the caller's core if it has not run since the last call; *ran_ns keeps the CPU
 * time that it had then. */
void luthier_fetch_stalled(pthread_t thread, int64_t *ran_ns);

#endif
