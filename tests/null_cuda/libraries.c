/* cuBLAS and cuDNN: descriptions are taken as they are, and what would compute is counted. */
#include "counting.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cuBLAS --------------------------------------------------------------------------------------- */

MAKES_HANDLE(cublasCreate_v2)
SUCCEEDS(cublasDestroy_v2)
SUCCEEDS(cublasSetStream_v2)
SUCCEEDS(cublasSetWorkspace_v2)
SUCCEEDS(cublasSetMathMode)
SUCCEEDS(cublasSetPointerMode_v2)
SUCCEEDS(cublasSetSmCountTarget)
EXPORT int cublasGetMathMode(void *handle, int *mode) { *mode = 0; return 0; }
EXPORT int cublasGetPointerMode_v2(void *handle, int *mode) { *mode = 0; return 0; }
COUNTS(cublasSgemm_v2, CUBLAS)
COUNTS(cublasDgemm_v2, CUBLAS)
COUNTS(cublasGemmEx, CUBLAS)
COUNTS(cublasSgemmEx, CUBLAS)
COUNTS(cublasSgemmStridedBatched, CUBLAS)
COUNTS(cublasDgemmStridedBatched, CUBLAS)
COUNTS(cublasGemmStridedBatchedEx, CUBLAS)
COUNTS(cublasSgemv_v2, CUBLAS)
COUNTS(cublasDgemv_v2, CUBLAS)
COUNTS(cublasSdot_v2, CUBLAS)
COUNTS(cublasDotEx, CUBLAS)
COUNTS(cublasLtMatmul, CUBLAS)
MAKES_HANDLE(cublasLtMatmulDescCreate)
MAKES_HANDLE(cublasLtMatrixLayoutCreate)
MAKES_HANDLE(cublasLtMatmulPreferenceCreate)
SUCCEEDS(cublasLtMatmulDescDestroy)
SUCCEEDS(cublasLtMatmulDescSetAttribute)
SUCCEEDS(cublasLtMatrixLayoutDestroy)
SUCCEEDS(cublasLtMatrixLayoutSetAttribute)
SUCCEEDS(cublasLtMatmulPreferenceDestroy)
SUCCEEDS(cublasLtMatmulPreferenceSetAttribute)
EXPORT int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c,
                                          void *d, void *preference, int wanted, void *found,
                                          int *num_found) {
  memset(found, 0, 96); /* the size of a cublasLtMatmulHeuristicResult_t */
  *num_found = 1;
  return 0;
}

/* cuDNN: its graphs, by which torch calls convolutions and norms -------------------------------- */

enum attribute {
  HEURISTIC_RESULTS = 202,
  CONFIGURED_ENGINE = 300,
  WORKSPACE_SIZE = 402,
  ENGINE_INDEX = 1301,
};

MAKES_HANDLE(cudnnCreate)
SUCCEEDS(cudnnDestroy)
SUCCEEDS(cudnnSetStream)
EXPORT int cudnnGetStream(void *handle, void **stream) { *stream = NULL; return 0; }
EXPORT int cudnnBackendCreateDescriptor(int type, void **made) {
  *made = null_handle();
  return 0;
}
SUCCEEDS(cudnnBackendDestroyDescriptor)
SUCCEEDS(cudnnBackendFinalize)
SUCCEEDS(cudnnBackendInitialize)
SUCCEEDS(cudnnBackendSetAttribute)
EXPORT int cudnnBackendGetAttribute(void *descriptor, int attribute, int type, int64_t wanted,
                                    int64_t *found, int64_t *value) {
  int is_known = attribute == HEURISTIC_RESULTS || attribute == CONFIGURED_ENGINE ||
                 attribute == WORKSPACE_SIZE || attribute == ENGINE_INDEX;
  if (value && attribute == WORKSPACE_SIZE) *value = 0;
  if (value && attribute == ENGINE_INDEX) *value = 1;
  if (found) *found = is_known;
  return 0;
}
COUNTS(cudnnBackendExecute, CUDNN)

/* cuDNN's older calls, for batch norms ---------------------------------------------------------- */

MAKES_HANDLE(cudnnCreateTensorDescriptor)
MAKES_HANDLE(cudnnCreateActivationDescriptor)
MAKES_HANDLE(cudnnCreateFilterDescriptor)
MAKES_HANDLE(cudnnCreateConvolutionDescriptor)
SUCCEEDS(cudnnDestroyTensorDescriptor)
SUCCEEDS(cudnnDestroyActivationDescriptor)
SUCCEEDS(cudnnDestroyFilterDescriptor)
SUCCEEDS(cudnnDestroyConvolutionDescriptor)
SUCCEEDS(cudnnSetTensorNdDescriptor)
SUCCEEDS(cudnnSetFilterNdDescriptor)
SUCCEEDS(cudnnSetConvolutionNdDescriptor)
SUCCEEDS(cudnnSetConvolutionGroupCount)
SUCCEEDS(cudnnSetConvolutionMathType)
SUCCEEDS(cudnnSetActivationDescriptor)
static int no_workspace(size_t *size) { *size = 0; return 0; }
EXPORT int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
    void *h, int m, int o, void *a, void *b, void *c, void *d, void *e, size_t *size) {
  return no_workspace(size);
}
EXPORT int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void *h, int m, int o, void *a,
                                                                void *b, size_t *size) {
  return no_workspace(size);
}
EXPORT int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void *h, int m, int o, void *a, void *b,
                                                             void *c, void *d, void *e, void *f,
                                                             void *g, size_t *size) {
  return no_workspace(size);
}
COUNTS(cudnnBatchNormalizationForwardTrainingEx, CUDNN)
COUNTS(cudnnBatchNormalizationForwardInference, CUDNN)
COUNTS(cudnnBatchNormalizationBackwardEx, CUDNN)
