/* The CUDA runtime: memory is the host's, which no kernel touches; launches are counted by name. */
#include "counting.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define __device_builtin__
#include <driver_types.h>

enum { NOT_ALLOWED_IN_CAPTURE = 900, OUT_OF_MEMORY = 2 };
enum { SMALL = 1 << 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* The stream whose work is captured; NULL: none's is. Work of other streams goes on as ever. */
static void *captured_stream;

/* Counters ------------------------------------------------------------------------------------ */

static unsigned long counts[NUM_KINDS];

static void count(enum kind kind) {
  pthread_mutex_lock(&lock);
  counts[kind]++;
  pthread_mutex_unlock(&lock);
}

EXPORT unsigned long null_cuda_count(int kind) { return counts[kind]; }

void *null_handle(void) {
  static uintptr_t next = 4096;
  return (void *)__atomic_add_fetch(&next, 16, __ATOMIC_SEQ_CST);
}

/* Names of kernels, by the address that stands for them, and how often each was launched ------- */

enum { BUCKETS = 1 << 16 };

struct kernel {
  const void *key;
  char *name;
  unsigned long launches;
  struct kernel *next;
};

static struct kernel *buckets[BUCKETS];

static struct kernel *kernel_of(const void *key, const char *name) {
  uintptr_t hash = ((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15u;
  struct kernel **bucket = &buckets[(hash >> 40) % BUCKETS];
  for (struct kernel *each = *bucket; each; each = each->next)
    if (each->key == key) return each;
  struct kernel *made = calloc(1, sizeof *made);
  made->key = key;
  made->name = strdup(name ? name : "a kernel without a name");
  made->next = *bucket;
  return *bucket = made;
}

static int is_captured(void *stream) { return captured_stream && stream == captured_stream; }

static void launch(const void *key, const char *name, enum kind kind) {
  pthread_mutex_lock(&lock);
  kernel_of(key, name)->launches++;
  counts[kind]++;
  pthread_mutex_unlock(&lock);
}

/* Of libraries, whose stream isn't looked at: while a stream is captured they work on it. */
EXPORT void null_launch(const char *name, int kind) {
  launch(name, name, captured_stream ? CAPTURED : kind);
}

EXPORT void null_cuda_reset(void) {
  memset(counts, 0, sizeof counts);
  for (int i = 0; i < BUCKETS; i++)
    for (struct kernel *each = buckets[i]; each; each = each->next) each->launches = 0;
}

/* Write what was launched to a file: a count and a name a line. */
EXPORT int null_cuda_write_names(const char *path) {
  FILE *out = fopen(path, "w");
  if (!out) return 1;
  for (int i = 0; i < BUCKETS; i++)
    for (struct kernel *each = buckets[i]; each; each = each->next)
      if (each->launches) fprintf(out, "%lu %s\n", each->launches, each->name);
  return fclose(out);
}

/* Kernels ------------------------------------------------------------------------------------- */

struct dim3_ { unsigned x, y, z; };
static __thread struct { struct dim3_ grid, block; size_t shared; void *stream; } configuration;

EXPORT void **__cudaRegisterFatBinary(void *binary) {
  static void *handle;
  return &handle;
}
EXPORT void __cudaRegisterFatBinaryEnd(void **handle) {}
EXPORT void __cudaUnregisterFatBinary(void **handle) {}
EXPORT void __cudaRegisterVar(void) {}
EXPORT void __cudaRegisterFunction(void **handle, const char *key, char *stub, const char *name) {
  pthread_mutex_lock(&lock);
  kernel_of(key, name);
  pthread_mutex_unlock(&lock);
}
EXPORT unsigned __cudaPushCallConfiguration(struct dim3_ grid, struct dim3_ block, size_t shared,
                                            void *stream) {
  configuration.grid = grid, configuration.block = block;
  configuration.shared = shared, configuration.stream = stream;
  return 0;
}
EXPORT int __cudaPopCallConfiguration(struct dim3_ *grid, struct dim3_ *block, size_t *shared,
                                      void **stream) {
  *grid = configuration.grid, *block = configuration.block;
  *shared = configuration.shared, *stream = configuration.stream;
  return 0;
}
EXPORT int __cudaGetKernel(const void **kernel, const void *key) { *kernel = key; return 0; }
EXPORT int cudaLaunchKernel(const void *key, struct dim3_ grid, struct dim3_ block, void **arguments,
                            size_t shared, void *stream) {
  launch(key, NULL, is_captured(stream) ? CAPTURED : KERNEL);
  return 0;
}
EXPORT int __cudaLaunchKernel(const void *key, struct dim3_ grid, struct dim3_ block,
                              void **arguments, size_t shared, void *stream) {
  return cudaLaunchKernel(key, grid, block, arguments, shared, stream);
}
EXPORT int cudaLaunchKernelExC(const cudaLaunchConfig_t *configuration, const void *key) {
  launch(key, NULL, is_captured(configuration->stream) ? CAPTURED : KERNEL);
  return 0;
}
EXPORT int cudaLaunchHostFunc(void *stream, void (*call)(void *), void *data) {
  call(data);
  return 0;
}
EXPORT int cudaFuncGetAttributes(struct cudaFuncAttributes *found, const void *key) {
  memset(found, 0, sizeof *found);
  found->maxThreadsPerBlock = 1024, found->numRegs = 32;
  found->maxDynamicSharedSizeBytes = 232448, found->binaryVersion = found->ptxVersion = 90;
  return 0;
}
EXPORT int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks) {
  *blocks = 2;
  return 0;
}
SUCCEEDS(cudaFuncSetAttribute)
SUCCEEDS(cudaKernelSetAttributeForDevice)
MAKES_HANDLE(cudaLibraryLoadData)
SUCCEEDS(cudaLibraryUnload)
EXPORT int cudaLibraryGetKernel(const void **kernel, void *library, const char *name) {
  *kernel = strdup(name);
  kernel_of(*kernel, name);
  return 0;
}

/* The device: as an H100 describes itself ------------------------------------------------------ */

EXPORT int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
EXPORT int cudaGetDevice(int *device) { *device = 0; return 0; }
SUCCEEDS(cudaSetDevice)
SUCCEEDS(cudaGetLastError)
SUCCEEDS(cudaPeekAtLastError)
EXPORT const char *cudaGetErrorName(int error) { return "an error of the stand-in"; }
EXPORT const char *cudaGetErrorString(int error) {
  return error == NOT_ALLOWED_IN_CAPTURE ? "operation not permitted when stream is capturing"
                                         : "an error of the stand-in";
}
EXPORT int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
EXPORT int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
EXPORT int cudaGetDeviceProperties(struct cudaDeviceProp *found, int device) {
  memset(found, 0, sizeof *found);
  strcpy(found->name, "a stand-in for a GPU");
  found->totalGlobalMem = 80UL << 30, found->l2CacheSize = 50 << 20;
  found->major = 9, found->minor = 0, found->warpSize = 32, found->multiProcessorCount = 132;
  found->regsPerBlock = found->regsPerMultiprocessor = 65536;
  found->sharedMemPerBlock = 49152, found->sharedMemPerBlockOptin = 232448;
  found->sharedMemPerMultiprocessor = 233472, found->maxBlocksPerMultiProcessor = 32;
  found->maxThreadsPerBlock = 1024, found->maxThreadsPerMultiProcessor = 2048;
  found->maxThreadsDim[0] = found->maxThreadsDim[1] = 1024, found->maxThreadsDim[2] = 64;
  found->maxGridSize[0] = 2147483647, found->maxGridSize[1] = found->maxGridSize[2] = 65535;
  found->totalConstMem = 65536, found->textureAlignment = 512, found->memPitch = 2147483647;
  found->concurrentKernels = found->unifiedAddressing = found->managedMemory = 1;
  found->cooperativeLaunch = found->memoryPoolsSupported = found->canMapHostMemory = 1;
  return 0;
}
EXPORT int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 232448; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = 233472; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = 65536; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrMultiProcessorCount: *value = 132; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrMaxGridDimX: *value = 2147483647; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    case cudaDevAttrL2CacheSize: *value = 50 << 20; break;
    default: *value = 0;
  }
  return 0;
}
EXPORT int cudaDeviceGetPCIBusId(char *id, int size, int device) {
  snprintf(id, size, "0000:00:00.0");
  return 0;
}
EXPORT int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  *least = 0, *greatest = -5;
  return 0;
}
EXPORT int cudaDeviceSynchronize(void) {
  if (captured_stream) return NOT_ALLOWED_IN_CAPTURE;
  count(WAIT);
  return 0;
}
EXPORT int cudaDeviceCanAccessPeer(int *can) { *can = 0; return 0; }
MAKES_HANDLE(cudaDeviceGetDefaultMemPool)
EXPORT int cudaMemPoolGetAttribute(void *pool, int attribute, uint64_t *value) {
  *value = 0;
  return 0;
}
SUCCEEDS(cudaMemPoolSetAttribute)
SUCCEEDS(cudaMemPoolSetAccess)
SUCCEEDS(cudaMemPoolTrimTo)
SUCCEEDS(cudaProfilerStart)
SUCCEEDS(cudaProfilerStop)
EXPORT int cudaGetDriverEntryPointByVersion(const char *name, void **found) {
  static void *driver;
  if (!driver) driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  *found = driver ? dlsym(driver, name) : NULL;
  if (!*found) *found = (void *)cudaProfilerStop; /* which does nothing */
  return 0;
}

/* Memory: the device's has addresses of its own, and takes room only where it is written ------- */

static const uintptr_t FIRST = 0x200000000000, LAST = 0x280000000000, PAGE = 2 << 20;

struct block { void *start; size_t size; struct block *next; };
static struct block *on_device, *pinned;

static int is_on_device(const void *p) { return (uintptr_t)p >= FIRST && (uintptr_t)p < LAST; }

static void note_block(struct block **blocks, void *start, size_t size) {
  struct block *made = malloc(sizeof *made);
  *made = (struct block){start, size, *blocks};
  *blocks = made;
}
static size_t forget_block(struct block **blocks, const void *start) {
  for (struct block **each = blocks; *each; each = &(*each)->next)
    if ((*each)->start == start) {
      struct block *gone = *each;
      size_t size = gone->size;
      *each = gone->next;
      free(gone);
      return size;
    }
  return 0;
}
static int is_pinned(const void *p) {
  for (struct block *each = pinned; each; each = each->next)
    if ((char *)p >= (char *)each->start && (char *)p < (char *)each->start + each->size) return 1;
  return 0;
}

EXPORT int cudaMalloc(void **found, size_t size) {
  static uintptr_t next = FIRST;
  size = (size + PAGE - 1) / PAGE * PAGE;
  pthread_mutex_lock(&lock);
  void *start = mmap((void *)next, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (start != MAP_FAILED) {
    next += size + PAGE;
    note_block(&on_device, start, size);
    *found = start;
  }
  pthread_mutex_unlock(&lock);
  return start == MAP_FAILED ? OUT_OF_MEMORY : 0;
}
EXPORT int cudaFree(void *start) {
  pthread_mutex_lock(&lock);
  size_t size = forget_block(&on_device, start);
  if (size) munmap(start, size);
  pthread_mutex_unlock(&lock);
  return 0;
}
EXPORT int cudaMallocAsync(void **found, size_t size) { return cudaMalloc(found, size); }
EXPORT int cudaFreeAsync(void *start) { return cudaFree(start); }
EXPORT int cudaMemGetInfo(size_t *free, size_t *total) { *free = *total = 80UL << 30; return 0; }
EXPORT int cudaHostRegister(void *start, size_t size) {
  pthread_mutex_lock(&lock);
  note_block(&pinned, start, size);
  pthread_mutex_unlock(&lock);
  return 0;
}
EXPORT int cudaHostUnregister(void *start) {
  pthread_mutex_lock(&lock);
  forget_block(&pinned, start);
  pthread_mutex_unlock(&lock);
  return 0;
}
EXPORT int cudaHostAlloc(void **found, size_t size) {
  if (posix_memalign(found, 4096, size ? size : 1)) return OUT_OF_MEMORY;
  return cudaHostRegister(*found, size);
}
EXPORT int cudaFreeHost(void *start) {
  cudaHostUnregister(start);
  free(start);
  return 0;
}
EXPORT int cudaPointerGetAttributes(struct cudaPointerAttributes *found, const void *p) {
  memset(found, 0, sizeof *found);
  found->type = is_on_device(p) ? cudaMemoryTypeDevice
                : is_pinned(p)  ? cudaMemoryTypeHost
                                : cudaMemoryTypeUnregistered;
  if (found->type == cudaMemoryTypeDevice) found->devicePointer = (void *)p;
  if (found->type == cudaMemoryTypeHost) found->hostPointer = (void *)p;
  return 0;
}

static int copy(void *to, const void *from, size_t size, int is_in_capture) {
  int to_device = is_on_device(to), from_device = is_on_device(from);
  int crosses = to_device != from_device;
  int is_pageable = crosses && !is_pinned(to_device ? from : to);
  if (is_in_capture && is_pageable) return NOT_ALLOWED_IN_CAPTURE;
  if (is_in_capture) {
    count(CAPTURED);
    return 0;
  }
  if (to_device && from_device) count(WITHIN_DEVICE);
  if (crosses) count(to_device ? TO_DEVICE : TO_HOST);
  if (is_pageable) count(to_device ? TO_DEVICE_PAGEABLE : TO_HOST_PAGEABLE);
  /* A large copy within the device would take the host's time for what no kernel has computed. */
  if (crosses || size <= SMALL) memmove(to, from, size);
  return 0;
}
EXPORT int cudaMemcpy(void *to, const void *from, size_t size) {
  if (captured_stream) return NOT_ALLOWED_IN_CAPTURE;
  count(WAIT);
  return copy(to, from, size, 0);
}
EXPORT int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  return copy(to, from, size, is_captured(stream));
}
EXPORT int cudaMemsetAsync(void *to, int value, size_t size, void *stream) {
  count(is_captured(stream) ? CAPTURED : MEMSET);
  return 0;
}
EXPORT int cudaMemset(void *to, int value, size_t size) {
  return captured_stream ? NOT_ALLOWED_IN_CAPTURE : cudaMemsetAsync(to, value, size, NULL);
}
EXPORT int cudaGetSymbolAddress(const void **found, const void *symbol) {
  *found = symbol;
  return 0;
}
SUCCEEDS(cudaMemcpyToSymbol)

/* Streams, events and graphs ------------------------------------------------------------------- */

MAKES_HANDLE(cudaStreamCreate)
MAKES_HANDLE(cudaStreamCreateWithFlags)
MAKES_HANDLE(cudaStreamCreateWithPriority)
SUCCEEDS(cudaStreamDestroy)
SUCCEEDS(cudaStreamWaitEvent)
EXPORT int cudaStreamGetPriority(void *stream, int *priority) { *priority = 0; return 0; }
EXPORT int cudaStreamQuery(void *stream) {
  return is_captured(stream) ? NOT_ALLOWED_IN_CAPTURE : 0;
}
EXPORT int cudaStreamSynchronize(void *stream) {
  if (is_captured(stream)) return NOT_ALLOWED_IN_CAPTURE;
  count(WAIT);
  return 0;
}
EXPORT int cudaStreamIsCapturing(void *stream, int *status) {
  *status = is_captured(stream);
  return 0;
}
EXPORT int cudaStreamGetCaptureInfo(void *stream, int *status, unsigned long long *id, void **graph,
                                    void **nodes, void **edges, size_t *num_nodes) {
  *status = is_captured(stream);
  if (id) *id = 1;
  if (graph) *graph = NULL;
  if (nodes) *nodes = NULL;
  if (edges) *edges = NULL;
  if (num_nodes) *num_nodes = 0;
  return 0;
}
SUCCEEDS(cudaStreamUpdateCaptureDependencies)
SUCCEEDS(cudaThreadExchangeStreamCaptureMode)
EXPORT int cudaStreamBeginCapture(void *stream, int mode) {
  captured_stream = stream;
  return 0;
}
EXPORT int cudaStreamEndCapture(void *stream, void **graph) {
  captured_stream = NULL;
  *graph = null_handle();
  return 0;
}
EXPORT int cudaGraphGetNodes(void *graph, void **nodes, size_t *num_nodes) {
  *num_nodes = 1;
  return 0;
}
MAKES_HANDLE(cudaGraphInstantiateWithFlags)
SUCCEEDS(cudaGraphDestroy)
SUCCEEDS(cudaGraphExecDestroy)
EXPORT int cudaGraphLaunch(void *graph, void *stream) { count(GRAPH); return 0; }

MAKES_HANDLE(cudaEventCreate)
MAKES_HANDLE(cudaEventCreateWithFlags)
SUCCEEDS(cudaEventDestroy)
SUCCEEDS(cudaEventRecord)
SUCCEEDS(cudaEventRecordWithFlags)
EXPORT int cudaEventQuery(void *event) { return 0; }
EXPORT int cudaEventSynchronize(void *event) {
  if (captured_stream) return NOT_ALLOWED_IN_CAPTURE;
  count(WAIT_FOR_EVENT);
  return 0;
}
EXPORT int cudaEventElapsedTime(float *milliseconds) { *milliseconds = 1; return 0; }
