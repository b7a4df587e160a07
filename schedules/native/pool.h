/* Luthier's own thread pool: the caller and threads - 1 workers. */
#ifndef LUTHIER_WORKERS_H
#define LUTHIER_WORKERS_H

#include "luthier_pool.h"

/* Starts threads - 1 workers (1 <= threads <= LUTHIER_MAX_THREADS) and stores the pool in *pool.
 * Returns 0, or EINVAL, ENOMEM, or what pthread_create said (EAGAIN: too many threads). */
int luthier_workers_start(int32_t threads, luthier_pool **pool);

/* Ends the workers and frees the pool; no call of `parallel` may be under way. Null is ignored. */
void luthier_workers_stop(luthier_pool *pool);

#endif
