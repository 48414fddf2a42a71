/* What the parts of the stand-in share: counters, handles, and functions that do nothing. */
#pragma once
#define _GNU_SOURCE
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))
/* A function that succeeds, whatever its arguments are. */
#define SUCCEEDS(name) EXPORT int name(void) { return 0; }
/* One that makes something opaque, which nothing looks into. */
#define MAKES_HANDLE(name) EXPORT int name(void **handle) { *handle = null_handle(); return 0; }
/* One that would start work on the device. */
#define COUNTS(name, kind) EXPORT int name(void) { null_launch(#name, kind); return 0; }

/* In the order of `KINDS` in count.py. */
enum kind {
  KERNEL,          /* launches of torch's own kernels */
  CUBLAS,
  CUDNN,
  TRITON,
  GRAPH,           /* launches of graphs */
  CAPTURED,        /* what was captured instead of launched */
  WAIT,            /* the host waits for the device */
  WAIT_FOR_EVENT,  /* the host waits for what was asked for earlier */
  TO_DEVICE,
  TO_DEVICE_PAGEABLE, /* of them, from memory that the device can't read by itself: a wait */
  TO_HOST,
  TO_HOST_PAGEABLE,
  WITHIN_DEVICE,
  MEMSET,
  NUM_KINDS
};

/* Count something that is queued, under a name. */
void null_launch(const char *name, int kind);
void *null_handle(void);
