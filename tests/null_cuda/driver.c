/* The driver, as Triton and torch's Python bindings load it: libcuda.so.1. */
#include "counting.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void launched(const char *name) {
  static void (*launch)(const char *, int);
  if (!launch) launch = (void (*)(const char *, int))dlsym(RTLD_DEFAULT, "null_launch");
  if (launch) launch(name, TRITON);
}
static int make(void **handle) { *handle = malloc(8); return 0; }

SUCCEEDS(cuInit)
EXPORT int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
EXPORT int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
EXPORT int cuDeviceGetCount(int *count) { *count = 1; return 0; }
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
  static const int known[][2] = {{1, 1024},     {8, 49152},   {10, 32},   {12, 65536}, {16, 132},
                                 {38, 52428800}, {39, 2048},   {75, 9},    {76, 0},     {81, 233472},
                                 {82, 65536},    {97, 232448}};
  *value = 0;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i][0] == attribute) *value = known[i][1];
  return 0;
}
EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *is_active) {
  *flags = 0, *is_active = 1;
  return 0;
}
EXPORT int cuDevicePrimaryCtxRetain(void **context) { *context = (void *)64; return 0; }
EXPORT int cuCtxGetCurrent(void **context) { *context = (void *)64; return 0; }
EXPORT int cuCtxGetDevice(int *device) { *device = 0; return 0; }
SUCCEEDS(cuCtxSetCurrent)
EXPORT int cuCtxGetLimit(size_t *value, int limit) { *value = 0; return 0; }
SUCCEEDS(cuCtxSetLimit)
SUCCEEDS(cuCtxSynchronize)
EXPORT int cuGetErrorString(int error, const char **text) {
  *text = "an error of the stand-in";
  return 0;
}
EXPORT int cuGetErrorName(int error, const char **text) { return cuGetErrorString(error, text); }
EXPORT int cuModuleLoad(void **module) { return make(module); }
EXPORT int cuModuleLoadData(void **module) { return make(module); }
EXPORT int cuModuleLoadDataEx(void **module) { return make(module); }
SUCCEEDS(cuModuleUnload)
EXPORT int cuModuleGetFunction(void **function, void *module, const char *name) {
  *function = strdup(name);
  return 0;
}
EXPORT int cuFuncGetAttribute(int *value, int attribute, void *function) {
  *value = attribute == 0 ? 1024 : attribute == 4 ? 32 : 0; /* threads, registers */
  return 0;
}
SUCCEEDS(cuFuncSetAttribute)
SUCCEEDS(cuFuncSetCacheConfig)
EXPORT int cuLaunchKernel(void *function) { launched(function); return 0; }
EXPORT int cuLaunchKernelEx(void *configuration, void *function) { launched(function); return 0; }
EXPORT int cuLaunchCooperativeKernel(void *function) { launched(function); return 0; }
SUCCEEDS(cuTensorMapEncodeTiled)
EXPORT int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks) { *blocks = 2; return 0; }
EXPORT int cuOccupancyMaxActiveClusters(int *clusters) { *clusters = 2; return 0; }
EXPORT int cuPointerGetAttribute(unsigned long *value, int attribute, unsigned long pointer) {
  *value = pointer;
  return 0;
}
EXPORT int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = *total = 80UL << 30; return 0; }
SUCCEEDS(cuStreamSynchronize)
EXPORT int cuGetProcAddress_v2(const char *name, void **found) {
  *found = dlsym(RTLD_DEFAULT, name);
  if (!*found) *found = (void *)cuStreamSynchronize; /* which does nothing */
  return 0;
}
EXPORT int cuGetExportTable(void) { return 1; }
