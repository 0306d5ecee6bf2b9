// SPDX-License-Identifier: 0BSD
//
// A small pool of POSIX threads, one for the whole library.
//
// Contract    parallel(nt, f) calls f(tid, n, barrier) on n threads, tid = 0 .. n - 1, and returns
//             when all have. n = 1 while another thread's inference holds the pool, so inferences
//             never wait for each other; else n = nt, at most kMostThreads, less if threads cannot
//             be started.
// Method      Workers are started when first needed and stay. They spin for new work for a while,
//             then sleep on a condition variable. The caller is thread 0 and spins for the others.
// System      Calls only to start workers, and to wake or fall asleep. pthread_* on purpose: the
//             library then links without the C++ standard library, and thread sanitizers know them.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include "barrier.h"

namespace AOT_NS {
namespace {

constexpr int kMostThreads = 256;
constexpr int kIdleSpins = 20000;  // some hundred microseconds: the gap between two inferences

class Workers {
 public:
  typedef void (*Work)(void* context, int tid, int nt, Barrier& barrier);

  /// Whether the pool was free; if so the work is done on return.
  bool run(int nt, Work work, void* context) {
    int idle = 0;
    if (!__atomic_compare_exchange_n(&busy_, &idle, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
      return false;
    }
    start(nt - 1);
    nt = nt < started_ + 1 ? nt : started_ + 1;
    Barrier barrier;
    work_ = work;
    context_ = context;
    nt_ = nt;
    barrier_ = &barrier;
    __atomic_store_n(&left_, started_, __ATOMIC_RELAXED);
    pthread_mutex_lock(&mutex_);
    __atomic_add_fetch(&ticket_, 1, __ATOMIC_RELEASE);
    if (asleep_ > 0) pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
    work(context, 0, nt, barrier);
    for (int spins = 0; __atomic_load_n(&left_, __ATOMIC_ACQUIRE) != 0;) {
      if (++spins < kSpins) {
        relax();
      } else {
        give_way();
      }
    }
    __atomic_store_n(&busy_, 0, __ATOMIC_RELEASE);
    return true;
  }

  /// Ends the workers: a library may be unloaded. No inference may be running.
  void stop() {
    pthread_mutex_lock(&mutex_);
    nt_ = 0;
    __atomic_add_fetch(&ticket_, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
    for (int i = 0; i < started_; ++i) pthread_join(threads_[i], nullptr);
    started_ = 0;
  }

 private:
  struct Seat {
    Workers* workers;
    int tid;
    unsigned seen;  // the last ticket this worker need not serve
  };

  void start(int wanted) {
    while (started_ < wanted && started_ < kMostThreads - 1) {
      seats_[started_] = {this, started_ + 1, __atomic_load_n(&ticket_, __ATOMIC_RELAXED)};
      if (pthread_create(&threads_[started_], nullptr, &Workers::main, &seats_[started_]) != 0)
        return;
      ++started_;
    }
  }

  static void* main(void* seat) {
    const Seat mine = *static_cast<const Seat*>(seat);
    mine.workers->serve(mine.tid, mine.seen);
    return nullptr;
  }

  void serve(int tid, unsigned seen) {
    for (;;) {
      await(seen);
      ++seen;
      if (nt_ == 0) return;
      if (tid < nt_) work_(context_, tid, nt_, *barrier_);
      __atomic_sub_fetch(&left_, 1, __ATOMIC_ACQ_REL);
    }
  }

  /// Returns once the ticket has moved on from `seen`.
  void await(unsigned seen) {
    for (int spins = 0; spins < kIdleSpins; ++spins) {
      if (__atomic_load_n(&ticket_, __ATOMIC_ACQUIRE) != seen) return;
      relax();
    }
    pthread_mutex_lock(&mutex_);
    ++asleep_;
    while (__atomic_load_n(&ticket_, __ATOMIC_ACQUIRE) == seen) {
      pthread_cond_wait(&wake_, &mutex_);
    }
    --asleep_;
    pthread_mutex_unlock(&mutex_);
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER;
  pthread_t threads_[kMostThreads] = {};
  Seat seats_[kMostThreads] = {};
  Work work_ = nullptr;
  void* context_ = nullptr;
  Barrier* barrier_ = nullptr;
  int nt_ = 0, started_ = 0, asleep_ = 0;
  alignas(64) int busy_ = 0;
  alignas(64) int left_ = 0;
  alignas(64) unsigned ticket_ = 0;
};

Workers workers;

__attribute__((destructor)) inline void stop_workers() { workers.stop(); }

/// Threads used when the caller names no number: the processors that are online.
inline int default_threads() {
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > kMostThreads ? kMostThreads : static_cast<int>(n);
}

template <class F>
void parallel(int nt, F&& f) {
  typedef __typeof__(&f) Context;
  const auto work = [](void* context, int tid, int n, Barrier& barrier) {
    (*static_cast<Context>(context))(tid, n, barrier);
  };
  if (nt > 1 && workers.run(nt, work, &f)) return;
  Barrier barrier;
  f(0, 1, barrier);
}

}  // namespace
}  // namespace AOT_NS
