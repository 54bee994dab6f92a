/* Threads that wait for work: one pool for the process.
 *
 * A job has parts that know nothing of each other. Whoever is free takes the next one,
 * the caller too: all of them are run even where no thread can be had. One caller at a
 * time has the pool; another one, meanwhile, runs its parts by itself.
 *
 * A thread looks for the next job for a while before it sleeps, and so does a caller
 * before it sleeps until the last part ends: one that sleeps begins 30 us after the call,
 * in which an RNN of 128 units does a step of 32 examples, and one that is awake 0.1 us.
 */

#ifndef MINIGRAD_THREADS_H
#define MINIGRAD_THREADS_H

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

typedef void (*minigrad_part)(void *job, int part, int is_caller);

/* Looks at a place that may change: about 100 us, longer than Python needs from one fused
 * loop to the next product of a training step. */
#define MINIGRAD_LOOKS 4000

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int busy, threads, sleeping, waiting;
    minigrad_part run;
    void *job;
    /* Each on a line of the cache of its own: all threads look at them. */
    _Alignas(64) uint64_t ticket; /* which job it is, how many parts, the next: 32|16|16 */
    _Alignas(64) int left;        /* the parts that have not ended */
} minigrad_pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

#define MINIGRAD_LOAD(place) __atomic_load_n(&minigrad_pool.place, __ATOMIC_SEQ_CST)
#define MINIGRAD_STORE(place, x) __atomic_store_n(&minigrad_pool.place, x, __ATOMIC_SEQ_CST)

static inline void minigrad_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int minigrad_is_open(uint64_t ticket)
{
    return (ticket & 0xffff) < (ticket >> 16 & 0xffff);
}

static void minigrad_run(int part, int is_caller)
{
    minigrad_pool.run(minigrad_pool.job, part, is_caller);
    if (!__atomic_sub_fetch(&minigrad_pool.left, 1, __ATOMIC_SEQ_CST) &&
        MINIGRAD_LOAD(waiting)) {
        pthread_mutex_lock(&minigrad_pool.lock);
        pthread_cond_signal(&minigrad_pool.done);
        pthread_mutex_unlock(&minigrad_pool.lock);
    }
}

/* Run the next part, if there is one. The ticket says which job it belongs to: who holds a
 * part of a job keeps that job from ending, so what `run` and `job` say is its own. */
static int minigrad_take(int is_caller)
{
    uint64_t ticket = MINIGRAD_LOAD(ticket);
    do {
        if (!minigrad_is_open(ticket))
            return 0;
    } while (!__atomic_compare_exchange_n(
        &minigrad_pool.ticket, &ticket, ticket + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    minigrad_run((int)(ticket & 0xffff), is_caller);
    return 1;
}

static void *minigrad_serve(void *nothing)
{
    (void)nothing;
    for (;;) {
        for (int looks = 0; looks < MINIGRAD_LOOKS; looks++) {
            if (minigrad_take(0))
                looks = 0;
            minigrad_pause();
        }
        /* Who opens a job looks for sleepers after that, and who falls asleep looks for a
         * job after it says so: one of the two sees the other. */
        pthread_mutex_lock(&minigrad_pool.lock);
        MINIGRAD_STORE(sleeping, minigrad_pool.sleeping + 1);
        while (!minigrad_is_open(MINIGRAD_LOAD(ticket)))
            pthread_cond_wait(&minigrad_pool.work, &minigrad_pool.lock);
        MINIGRAD_STORE(sleeping, minigrad_pool.sleeping - 1);
        pthread_mutex_unlock(&minigrad_pool.lock);
    }
    return NULL;
}

/* In a child process, whose threads are gone. */
static void minigrad_forget(void)
{
    pthread_mutex_init(&minigrad_pool.lock, NULL);
    pthread_cond_init(&minigrad_pool.work, NULL);
    pthread_cond_init(&minigrad_pool.done, NULL);
    minigrad_pool.busy = minigrad_pool.threads = 0;
    minigrad_pool.sleeping = minigrad_pool.waiting = 0;
    /* Another thread's job may have had parts to take: new threads would run them. */
    minigrad_pool.ticket = 0;
}

/* Have so many threads, or as many as can be had. They hear no signals: Python's handlers
 * wait for the main thread to look. */
static void minigrad_hire(int threads)
{
    static int known = 0;
    sigset_t all, before;
    pthread_t thread;
    if (minigrad_pool.threads >= threads)
        return;
    if (!known)
        known = !pthread_atfork(NULL, NULL, minigrad_forget);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (minigrad_pool.threads < threads &&
           !pthread_create(&thread, NULL, minigrad_serve, NULL)) {
        pthread_detach(thread);
        minigrad_pool.threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Run all parts of a job, at most 65,535, and come back when the last one has ended. */
static void minigrad_divide(minigrad_part run, void *job, int parts)
{
    uint64_t number;
    if (parts < 2 || __atomic_exchange_n(&minigrad_pool.busy, 1, __ATOMIC_SEQ_CST)) {
        for (int part = 0; part < parts; part++)
            run(job, part, 1);
        return;
    }
    minigrad_hire(parts - 1);
    minigrad_pool.run = run;
    minigrad_pool.job = job;
    number = (MINIGRAD_LOAD(ticket) >> 32) + 1;
    MINIGRAD_STORE(left, parts);
    MINIGRAD_STORE(ticket, number << 32 | (uint64_t)parts << 16 | 1);
    if (MINIGRAD_LOAD(sleeping)) {
        pthread_mutex_lock(&minigrad_pool.lock);
        pthread_cond_broadcast(&minigrad_pool.work);
        pthread_mutex_unlock(&minigrad_pool.lock);
    }
    minigrad_run(0, 1); /* always the caller's: it alone hears Ctrl-C */
    while (minigrad_take(1))
        ;
    for (int looks = 0; MINIGRAD_LOAD(left); looks++) {
        minigrad_pause();
        if (looks < MINIGRAD_LOOKS)
            continue;
        pthread_mutex_lock(&minigrad_pool.lock);
        MINIGRAD_STORE(waiting, 1);
        while (MINIGRAD_LOAD(left))
            pthread_cond_wait(&minigrad_pool.done, &minigrad_pool.lock);
        MINIGRAD_STORE(waiting, 0);
        pthread_mutex_unlock(&minigrad_pool.lock);
    }
    MINIGRAD_STORE(busy, 0);
}

#endif
