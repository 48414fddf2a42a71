// Channels-last kernels for CPUs: batch norm over groups with its activation and dropout; 2x2 max pooling.
//
// A tensor (N, C, H, W) in channels_last is rows of C numbers, a row a pixel, and the rows of a group lie together:
// (groups, rows, C). Statistics and application are separate, both ways, so that ranks may exchange sums in between.
//
// Every result is a function of its arguments alone. Sums are taken over chunks, whose length the caller derives from
// the shape, and merged in float64 in the order of chunks: the number of threads changes no bit. Contraction is off
// and each fused multiply-add is written out, so no compiler changes one either.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using i64 = std::int64_t;
constexpr i64 BLOCK = 64;   // rows that are added up in float32 before they go into float64
constexpr i64 WIDTH = 128;  // least length of an inner loop: 16 channels are then as quick as 160
constexpr i64 FIRST = 8;    // rows whose mean squares are first taken about
constexpr double FAR = 4.;  // squared deviations that it may be off: then at most two bits of a square are lost
enum Activation { NONE = 0, RELU = 1, GELU = 2 };

struct bf16 {
  std::uint16_t bits;
};

inline float load(float v) { return v; }
inline float load(bf16 v) {
  const std::uint32_t u = std::uint32_t(v.bits) << 16;
  float f;
  std::memcpy(&f, &u, sizeof f);
  return f;
}
inline void store(float* p, float v) { *p = v; }
inline void store(bf16* p, float v) {  // to nearest, ties to even
  std::uint32_t u;
  std::memcpy(&u, &v, sizeof u);
  const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  p->bits = std::uint16_t(v != v ? 0x7fc0u : rounded);
}

inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

// exp(v) for v <= 0, relative error 2e-7: 2^n by its exponent bits, the rest by a Taylor polynomial.
inline float exp_of_negative(float v) {
  v = v < -87.f ? -87.f : v;
  const float t = v * 1.44269504f, n = __builtin_nearbyintf(t), f = (t - n) * 0.693147181f;
  float p = fma(f, 1.f / 720, 1.f / 120);
  p = fma(f, p, 1.f / 24);
  p = fma(f, p, 1.f / 6);
  p = fma(f, p, .5f);
  p = fma(f, p, 1.f);
  p = fma(f, p, 1.f);
  const std::uint32_t exponent = std::uint32_t(std::int32_t(n) + 127) << 23;
  float power;
  std::memcpy(&power, &exponent, sizeof power);
  return p * power;
}

// The normal distribution function, by Abramowitz and Stegun 7.1.26 (absolute error 1e-7), and its density.
inline void normal(float z, float& cdf, float& pdf) {
  const float x = __builtin_fabsf(z) * .70710678f, t = 1.f / fma(.3275911f, x, 1.f);
  const float e = exp_of_negative(-x * x);
  float p = fma(t, 1.061405429f, -1.453152027f);
  p = fma(t, p, 1.421413741f);
  p = fma(t, p, -.284496736f);
  p = fma(t, p, .254829592f);
  const float tail = .5f * t * p * e;
  cdf = z < 0.f ? tail : 1.f - tail;
  pdf = .39894228f * e;
}

template <int A>
inline float activate(float z) {
  if (A == RELU) return z < 0.f ? 0.f : z;  // what is not a number stays so
  if (A == GELU) {
    float cdf, pdf;
    normal(z, cdf, pdf);
    return z * cdf;
  }
  return z;
}

// The gradient before the activation. The sign of ReLU's output tells what it let through, and behind it what dropout
// did: there is no mask to keep.
template <int A>
inline float before_activation(float gradient, float z, float y) {
  if (A == RELU) return y > 0.f || y != y ? gradient : 0.f;
  if (A == GELU) {
    float cdf, pdf;
    normal(z, cdf, pdf);
    return gradient * fma(z, pdf, cdf);
  }
  return gradient;
}

// Philox4x64-10 (Salmon et al., 2011) as NumPy's: the four words of one counter.
inline void philox(std::uint64_t counter, std::uint64_t key0, std::uint64_t key1, std::uint64_t* words) {
  std::uint64_t a = counter, b = 0, c = 0, d = 0;
  for (int round = 0; round < 10; ++round) {
    const unsigned __int128 p = (unsigned __int128)0xD2E7470EE14C6C93ull * a;
    const unsigned __int128 q = (unsigned __int128)0xCA5A826395121157ull * c;
    const std::uint64_t next_a = std::uint64_t(q >> 64) ^ b ^ key0, next_c = std::uint64_t(p >> 64) ^ d ^ key1;
    b = std::uint64_t(q);
    d = std::uint64_t(p);
    a = next_a;
    c = next_c;
    key0 += 0x9E3779B97F4A7C15ull;
    key1 += 0xBB67AE8584CAA73Bull;
  }
  words[0] = a;
  words[1] = b;
  words[2] = c;
  words[3] = d;
}

// Rows of `channels` numbers, taken `repeat` at a time so that an inner loop is long enough.
struct Rows {
  i64 groups, rows, channels, chunk, repeat, length, chunks;
  Rows(i64 groups, i64 rows, i64 channels, i64 chunk)
      : groups(groups), rows(rows), channels(channels), chunk(chunk), repeat(std::max<i64>(1, WIDTH / channels)),
        length(channels * repeat), chunks((rows + chunk - 1) / chunk) {}
};

// A number for each group and channel, repeated as the rows are.
class Tiled {
 public:
  explicit Tiled(const Rows& r) : length_(r.length), values_(size_t(r.groups * r.length)) {}
  template <class F>
  void fill(const Rows& r, F value) {
    for (i64 g = 0; g < r.groups; ++g) {
      float* to = &values_[size_t(g * length_)];
      for (i64 c = 0; c < r.channels; ++c) to[c] = float(value(g * r.channels + c, c));
      for (i64 i = r.channels; i < length_; ++i) to[i] = to[i - r.channels];
    }
  }
  const float* of(i64 group) const { return &values_[size_t(group * length_)]; }

 private:
  i64 length_;
  std::vector<float> values_;
};

// z = ((x - mean) - remainder) * scale + shift. The mean is kept in two parts, since a mean of 1e4 rounded to float32
// is off by 5e-4, which is much where the deviation is 1.
struct Affine {
  Tiled mean, remainder, scale, shift;
  Affine(const Rows& r, const double* means, const float* weight, const float* bias, double eps)
      : mean(r), remainder(r), scale(r), shift(r) {
    const double* vars = means + r.groups * r.channels;
    mean.fill(r, [&](i64 i, i64) { return means[i]; });
    remainder.fill(r, [&](i64 i, i64) { return means[i] - double(float(means[i])); });
    scale.fill(r, [&](i64 i, i64 c) { return weight[c] / std::sqrt(vars[i] + eps); });
    shift.fill(r, [&](i64, i64 c) { return bias[c]; });
  }
};

// Calls body(group, first position, numbers) for each piece of a chunk, `repeat` rows at most.
template <class Body>
inline void pieces(const Rows& r, i64 group, i64 first, i64 last, Body body) {
  for (i64 row = first; row < last; row += r.repeat)
    body((group * r.rows + row) * r.channels, std::min(r.length, (last - row) * r.channels));
}

// Adds up two float32 functions over rows first..last of a group into float64 s and q, a number a channel.
template <class Body>
void add_up(const Rows& r, i64 group, i64 first, i64 last, std::vector<float>& lanes, double* s, double* q, Body body) {
  float* a = lanes.data();
  float* b = a + r.length;
  const i64 block = std::max<i64>(1, BLOCK / r.repeat) * r.repeat;
  for (i64 row = first; row < last; row += block) {
    std::fill(lanes.begin(), lanes.end(), 0.f);
    pieces(r, group, row, std::min(row + block, last), [&](i64 at, i64 n) { body(at, n, a, b); });
    for (i64 lane = 0, c = 0; lane < r.length; ++lane, c = c + 1 == r.channels ? 0 : c + 1) {
      s[c] += a[lane];
      q[c] += b[lane];
    }
  }
}

// Sums over a chunk of x - centre and of its square; a centre a lane.
template <class T>
void about(const T* x, const Rows& r, i64 group, i64 first, i64 last, const float* centre, std::vector<float>& lanes,
           double* s, double* q) {
  std::fill(s, s + r.channels, 0.);
  std::fill(q, q + r.channels, 0.);
  add_up(r, group, first, last, lanes, s, q, [&](i64 at, i64 n, float* a, float* b) {
    const T* p = x + at;
#pragma omp simd
    for (i64 i = 0; i < n; ++i) {
      const float d = load(p[i]) - centre[i];
      a[i] += d;
      b[i] = fma(d, d, b[i]);
    }
  });
}

// Means and biased variances, (2, groups, channels). Squares are taken about the first pixels' mean, and about the
// chunk's own, while it lies in the cache, if that was far off in any channel: the rounding of a square is then much
// beside the variance. Chunks are merged as Chan, Golub and LeVeque (1979) do.
template <class T>
void statistics(const T* x, const Rows& r, double* moments, int threads) {
  double *mean = moments, *var = moments + r.groups * r.channels;
  const i64 C = r.channels, jobs = r.groups * r.chunks;
  std::vector<double> parts(size_t(jobs * 2 * C), 0.);  // of each chunk: means, sums of squares about them
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 job = 0; job < jobs; ++job) {
    const i64 group = job / r.chunks, first = job % r.chunks * r.chunk, last = std::min(first + r.chunk, r.rows);
    std::vector<float> lanes(size_t(2 * r.length)), centre(size_t(r.length));
    double *s = &parts[size_t(job * 2 * C)], *q = s + C;
    const double count = double(last - first);
    const i64 some = std::min<i64>(last - first, FIRST);
    for (i64 row = first; row < first + some; ++row)
      for (i64 c = 0; c < C; ++c) centre[size_t(c)] += load(x[(group * r.rows + row) * C + c]) / float(some);
    for (bool again = true, is_first = true; again; is_first = false) {
      for (i64 lane = C; lane < r.length; ++lane) centre[size_t(lane)] = centre[size_t(lane - C)];
      about(x, r, group, first, last, centre.data(), lanes, s, q);
      again = false;
      for (i64 c = 0; is_first && c < C; ++c) again |= s[c] * s[c] > FAR * count * (q[c] - s[c] * s[c] / count);
      for (i64 c = 0; again && c < C; ++c) centre[size_t(c)] += float(s[c] / count);
    }
    for (i64 c = 0; c < C; ++c) {
      const double off = s[c] / count, squares = q[c] - s[c] * off;
      s[c] = centre[size_t(c)] + off;
      q[c] = squares < 0. ? 0. : squares;  // what is not a number stays so
    }
  }
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 group = 0; group < r.groups; ++group) {
    double* m = mean + group * C;
    double* v = var + group * C;
    std::fill(m, m + C, 0.);
    std::fill(v, v + C, 0.);
    for (i64 chunk = 0; chunk < r.chunks; ++chunk) {
      const double* part = &parts[size_t((group * r.chunks + chunk) * 2 * C)];
      const double before = double(chunk * r.chunk), here = double(std::min(r.chunk, r.rows - chunk * r.chunk));
      const double all = before + here;
      for (i64 c = 0; c < C; ++c) {
        const double delta = part[c] - m[c];
        m[c] += delta * (here / all);
        v[c] += part[C + c] + delta * delta * (before * here / all);
      }
    }
    for (i64 c = 0; c < C; ++c) v[c] /= double(r.rows);
  }
}

// Dropout's masks: sixteen bits an activation, of the images from `first` on of the table that the key determines.
struct Masks {
  i64 images;  // 0: there is no dropout
  std::uint64_t key0, key1, first;
  int threshold;
  float scale;
};

template <class T, int A>
void apply(const T* x, T* y, const Rows& r, const Affine& to, const Masks& masks, int threads) {
  const auto piece = [&](i64 group, i64 at, i64 n, const std::int16_t* bits) {
    const float *mean = to.mean.of(group), *remainder = to.remainder.of(group), *scale = to.scale.of(group);
    const float* shift = to.shift.of(group);
    const T* p = x + at;
    T* o = y + at;
    if (bits == nullptr) {
#pragma omp simd
      for (i64 i = 0; i < n; ++i)
        store(o + i, activate<A>(fma((load(p[i]) - mean[i]) - remainder[i], scale[i], shift[i])));
      return;
    }
    const float kept = masks.scale;
    const int threshold = masks.threshold;
#pragma omp simd
    for (i64 i = 0; i < n; ++i) {
      const float v = activate<A>(fma((load(p[i]) - mean[i]) - remainder[i], scale[i], shift[i]));
      store(o + i, bits[i] >= threshold ? v * kept : 0.f * v);  // not a number stays so, dropped or not
    }
  };
  if (masks.images == 0) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (i64 job = 0; job < r.groups * r.chunks; ++job) {
      const i64 group = job / r.chunks, first = job % r.chunks * r.chunk;
      pieces(r, group, first, std::min(first + r.chunk, r.rows),
             [&](i64 at, i64 n) { piece(group, at, n, nullptr); });
    }
    return;
  }
  const i64 size = r.groups * r.rows / masks.images * r.channels, counts = (size + 15) / 16;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 image = 0; image < masks.images; ++image) {
    const i64 group = image / (masks.images / r.groups);
    std::uint64_t counter = (masks.first + std::uint64_t(image)) * std::uint64_t(counts);
    std::vector<std::int16_t> bits(size_t(r.length + 32));
    i64 have = 0;
    for (i64 done = 0, n; done < size; done += n) {
      n = std::min(r.length, size - done);
      for (; have < n; have += 16) {
        std::uint64_t words[4];
        philox(++counter, masks.key0, masks.key1, words);
        std::memcpy(&bits[size_t(have)], words, sizeof words);
      }
      piece(group, image * size + done, n, bits.data());
      have -= n;
      std::memmove(bits.data(), &bits[size_t(n)], size_t(have) * sizeof(std::int16_t));
    }
  }
}

// Of the gradients t before the norm's shift: sums of t, and of t times (x - mean), (2, groups, channels); and from
// them the gradients of the norm's scale and shift.
template <class T, int A>
void gradient_sums(const T* gradient, const T* x, const T* y, const Rows& r, const Affine& to, float kept,
                   const double* moments, double eps, double* sum, float* of_weight, float* of_bias, int threads) {
  double* product = sum + r.groups * r.channels;
  const double* vars = moments + r.groups * r.channels;
  const i64 C = r.channels, jobs = r.groups * r.chunks;
  std::vector<double> parts(size_t(jobs * 2 * C), 0.);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 job = 0; job < jobs; ++job) {
    const i64 group = job / r.chunks, first = job % r.chunks * r.chunk, last = std::min(first + r.chunk, r.rows);
    std::vector<float> lanes(size_t(2 * r.length));
    const float *mean = to.mean.of(group), *remainder = to.remainder.of(group), *scale = to.scale.of(group);
    const float* shift = to.shift.of(group);
    double* s = &parts[size_t(job * 2 * C)];
    add_up(r, group, first, last, lanes, s, s + C, [&](i64 at, i64 n, float* a, float* b) {
      const T *pg = gradient + at, *px = x + at, *py = y + at;
#pragma omp simd
      for (i64 i = 0; i < n; ++i) {
        const float d = (load(px[i]) - mean[i]) - remainder[i];
        const float out = A == RELU ? load(py[i]) : 0.f;
        const float t = before_activation<A>(load(pg[i]) * kept, fma(d, scale[i], shift[i]), out);
        a[i] += t;
        b[i] = fma(t, d, b[i]);
      }
    });
  }
  std::fill(sum, sum + r.groups * C, 0.);
  std::fill(product, product + r.groups * C, 0.);
  for (i64 job = 0; job < jobs; ++job) {
    const double* part = &parts[size_t(job * 2 * C)];
    double *s = sum + job / r.chunks * C, *q = product + job / r.chunks * C;
    for (i64 c = 0; c < C; ++c) {
      s[c] += part[c];
      q[c] += part[C + c];
    }
  }
  for (i64 c = 0; c < C; ++c) {
    double weight = 0., bias = 0.;
    for (i64 i = c; i < r.groups * C; i += C) {
      weight += product[i] / std::sqrt(vars[i] + eps);
      bias += sum[i];
    }
    of_weight[c] = float(weight);
    of_bias[c] = float(bias);
  }
}

// The input's gradient: scale (t - sum / count - (x - mean) product / ((var + eps) count)).
template <class T, int A>
void gradient_apply(const T* gradient, const T* x, const T* y, T* dx, const Rows& r, const Affine& to, float kept,
                    const double* moments, const float* weight, double eps, const double* sum, double count,
                    int threads) {
  const double *vars = moments + r.groups * r.channels, *product = sum + r.groups * r.channels;
  Tiled constant(r), slope(r);
  const auto scale_of = [&](i64 i, i64 c) { return weight[c] / std::sqrt(vars[i] + eps); };
  constant.fill(r, [&](i64 i, i64 c) { return -scale_of(i, c) * sum[i] / count; });
  slope.fill(r, [&](i64 i, i64 c) { return -scale_of(i, c) * product[i] / ((vars[i] + eps) * count); });
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 job = 0; job < r.groups * r.chunks; ++job) {
    const i64 group = job / r.chunks, first = job % r.chunks * r.chunk;
    const float *mean = to.mean.of(group), *remainder = to.remainder.of(group), *scale = to.scale.of(group);
    const float *shift = to.shift.of(group), *k1 = constant.of(group), *k2 = slope.of(group);
    pieces(r, group, first, std::min(first + r.chunk, r.rows), [&](i64 at, i64 n) {
      const T *pg = gradient + at, *px = x + at, *py = y + at;
      T* o = dx + at;
#pragma omp simd
      for (i64 i = 0; i < n; ++i) {
        const float d = (load(px[i]) - mean[i]) - remainder[i];
        const float out = A == RELU ? load(py[i]) : 0.f;
        const float t = before_activation<A>(load(pg[i]) * kept, fma(d, scale[i], shift[i]), out);
        store(o + i, fma(t, scale[i], fma(d, k2[i], k1[i])));
      }
    });
  }
}

// 2x2 windows at a stride of 2. As in torch the first largest of a window is chosen, and what is not a number wins; the
// choice is kept in a byte.
template <class T>
void pool(const T* x, T* y, std::uint8_t* choice, i64 N, i64 H, i64 W, i64 C, int threads) {
  const i64 h = H / 2, w = W / 2;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 row = 0; row < N * h; ++row) {
    const T* top = x + ((row / h) * H + 2 * (row % h)) * W * C;
    for (i64 column = 0; column < w; ++column) {
      const T *p = top + 2 * column * C, *q = p + W * C;
      T* o = y + (row * w + column) * C;
      std::uint8_t* k = choice + (row * w + column) * C;
#pragma omp simd
      for (i64 c = 0; c < C; ++c) {
        float best = load(p[c]);
        int at = 0;
        const float others[3] = {load(p[c + C]), load(q[c]), load(q[c + C])};
        for (int i = 0; i < 3; ++i) {
          const bool wins = others[i] > best || others[i] != others[i];
          best = wins ? others[i] : best;
          at = wins ? i + 1 : at;
        }
        store(o + c, best);
        k[c] = std::uint8_t(at);
      }
    }
  }
}

template <class T>
void unpool(const T* gradient, const std::uint8_t* choice, T* dx, i64 N, i64 H, i64 W, i64 C, int threads) {
  const i64 h = H / 2, w = W / 2;
  const T zero{};
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 row = 0; row < N * h; ++row) {
    T* top = dx + ((row / h) * H + 2 * (row % h)) * W * C;
    for (i64 column = 0; column < w; ++column) {
      T *p = top + 2 * column * C, *q = p + W * C;
      const T* g = gradient + (row * w + column) * C;
      const std::uint8_t* k = choice + (row * w + column) * C;
#pragma omp simd
      for (i64 c = 0; c < C; ++c) {
        p[c] = k[c] == 0 ? g[c] : zero;
        p[c + C] = k[c] == 1 ? g[c] : zero;
        q[c] = k[c] == 2 ? g[c] : zero;
        q[c + C] = k[c] == 3 ? g[c] : zero;
      }
    }
    if (W % 2)
      for (i64 line = 0; line < 2; ++line)
        std::fill(top + (line * W + W - 1) * C, top + (line * W + W) * C, zero);
    if (H % 2 && row % h == h - 1) std::fill(top + 2 * W * C, top + 3 * W * C, zero);
  }
}

#define BY_ACTIVATION(FUNCTION, ...)                  \
  switch (activation) {                               \
    case RELU: return FUNCTION<T, RELU>(__VA_ARGS__); \
    case GELU: return FUNCTION<T, GELU>(__VA_ARGS__); \
    default: return FUNCTION<T, NONE>(__VA_ARGS__);   \
  }

template <class T>
void apply_any(int activation, const T* x, T* y, const Rows& r, const Affine& to, const Masks& masks, int threads) {
  BY_ACTIVATION(apply, x, y, r, to, masks, threads)
}

template <class T>
void sums_any(int activation, const T* gradient, const T* x, const T* y, const Rows& r, const Affine& to, float kept,
              const double* moments, double eps, double* sums, float* of_weight, float* of_bias, int threads) {
  BY_ACTIVATION(gradient_sums, gradient, x, y, r, to, kept, moments, eps, sums, of_weight, of_bias, threads)
}

template <class T>
void gradient_any(int activation, const T* gradient, const T* x, const T* y, T* dx, const Rows& r, const Affine& to,
                  float kept, const double* moments, const float* weight, double eps, const double* sums, double count,
                  int threads) {
  BY_ACTIVATION(gradient_apply, gradient, x, y, dx, r, to, kept, moments, weight, eps, sums, count, threads)
}

}  // namespace

#define EXPORT(NAME, T)                                                                                                \
  extern "C" void statistics_##NAME(const T* x, i64 groups, i64 rows, i64 channels, i64 chunk, double* moments,        \
                                    int threads) {                                                                     \
    statistics<T>(x, Rows(groups, rows, channels, chunk), moments, threads);                                           \
  }                                                                                                                    \
  extern "C" void apply_##NAME(const T* x, T* y, i64 groups, i64 rows, i64 channels, i64 chunk, const double* moments, \
                               const float* weight, const float* bias, double eps, int activation, i64 images,         \
                               std::uint64_t key0, std::uint64_t key1, std::uint64_t first, int threshold,             \
                               double kept, int threads) {                                                             \
    const Rows r(groups, rows, channels, chunk);                                                                       \
    const Masks masks{images, key0, key1, first, threshold, float(kept)};                                              \
    apply_any<T>(activation, x, y, r, Affine(r, moments, weight, bias, eps), masks, threads);                          \
  }                                                                                                                    \
  extern "C" void gradient_sums_##NAME(const T* gradient, const T* x, const T* y, i64 groups, i64 rows, i64 channels,  \
                                       i64 chunk, const double* moments, const float* weight, const float* bias,       \
                                       double eps, int activation, double kept, double* sums, float* of_weight,        \
                                       float* of_bias, int threads) {                                                  \
    const Rows r(groups, rows, channels, chunk);                                                                       \
    sums_any<T>(activation, gradient, x, y, r, Affine(r, moments, weight, bias, eps), float(kept), moments, eps, sums, \
                of_weight, of_bias, threads);                                                                          \
  }                                                                                                                    \
  extern "C" void gradient_apply_##NAME(const T* gradient, const T* x, const T* y, T* dx, i64 groups, i64 rows,        \
                                        i64 channels, i64 chunk, const double* moments, const float* weight,           \
                                        const float* bias, double eps, int activation, double kept,                    \
                                        const double* sums, double count, int threads) {                               \
    const Rows r(groups, rows, channels, chunk);                                                                       \
    gradient_any<T>(activation, gradient, x, y, dx, r, Affine(r, moments, weight, bias, eps), float(kept), moments,    \
                    weight, eps, sums, count, threads);                                                                \
  }                                                                                                                    \
  extern "C" void pool_##NAME(const T* x, T* y, std::uint8_t* choice, i64 N, i64 H, i64 W, i64 C, int threads) {       \
    pool<T>(x, y, choice, N, H, W, C, threads);                                                                        \
  }                                                                                                                    \
  extern "C" void unpool_##NAME(const T* gradient, const std::uint8_t* choice, T* dx, i64 N, i64 H, i64 W, i64 C,      \
                                int threads) {                                                                         \
    unpool<T>(gradient, choice, dx, N, H, W, C, threads);                                                              \
  }

EXPORT(bfloat16, bf16)
EXPORT(float32, float)
