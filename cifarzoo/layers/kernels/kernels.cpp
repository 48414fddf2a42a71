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
#if defined(__FMA__)
#include <immintrin.h>
#endif

namespace {

using i64 = std::int64_t;
constexpr i64 BLOCK = 64;        // numbers of a lane that are added up in float32 before they go into float64
constexpr i64 WIDTH = 128;       // least length of a line of lanes: 16 channels are then as quick as 160
constexpr i64 FIRST = 8;         // rows whose mean squares are first taken about
constexpr double FAR = 4.;       // squared deviations that it may be off: then at most two bits of a square are lost
constexpr i64 CHUNK = 1 << 15;   // numbers that are read twice
constexpr i64 JOBS = 32;         // chunks at least, where there are so many lines
constexpr i64 SHARE = 1 << 15;   // numbers that are worth a thread
enum Activation { NONE = 0, RELU = 1, GELU = 2 };

struct bf16 {
  std::uint16_t bits;
};

// Sixteen numbers; a compiler makes one register of them, or several.
constexpr i64 LANES = 16;
using V = float __attribute__((vector_size(64)));
using U = std::uint32_t __attribute__((vector_size(64)));
using I = std::int32_t __attribute__((vector_size(64)));
using Halves = std::uint16_t __attribute__((vector_size(32)));
using Bytes = std::uint8_t __attribute__((vector_size(16)));
using Shorts = std::int16_t __attribute__((vector_size(32)));

template <class To, class From>
inline To bits_of(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

inline V all(float v) { return v - V{}; }

inline V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline V load(const bf16* p) {
  Halves h;
  std::memcpy(&h, p, sizeof h);
  return bits_of<V>(__builtin_convertvector(h, U) << 16);
}
inline void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
inline void store(bf16* p, V v) {  // to nearest, ties to even
  const U u = bits_of<U>(v), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const Halves h = __builtin_convertvector(v == v ? rounded : U{} + 0x7fc0u, Halves);
  std::memcpy(p, &h, sizeof h);
}

inline float number(float v) { return v; }
inline float number(bf16 v) { return bits_of<float>(std::uint32_t(v.bits) << 16); }

#if defined(__AVX512F__)
inline V fma(V a, V b, V c) { return V(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c))); }
#elif defined(__FMA__)
struct Pair {
  __m256 low, high;
};
inline V fma(V a, V b, V c) {
  const Pair x = bits_of<Pair>(a), y = bits_of<Pair>(b), z = bits_of<Pair>(c);
  return bits_of<V>(Pair{_mm256_fmadd_ps(x.low, y.low, z.low), _mm256_fmadd_ps(x.high, y.high, z.high)});
}
#else
inline V fma(V a, V b, V c) {
  for (i64 i = 0; i < LANES; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
}
#endif
inline V fma(V a, V b, float c) { return fma(a, b, all(c)); }

// exp(v) for v <= 0, relative error 2e-7: 2^n by its exponent bits, the rest by a Taylor polynomial.
inline V exp_of_negative(V v) {
  constexpr float NEAREST = 12582912.f;  // 1.5 * 2^23: what is added to it is rounded to an integer
  v = v < -87.f ? all(-87.f) : v;
  const V t = v * 1.44269504f, n = (t + NEAREST) - NEAREST, f = (t - n) * 0.693147181f;
  V p = fma(f, all(1.f / 720), 1.f / 120);
  p = fma(f, p, 1.f / 24);
  p = fma(f, p, 1.f / 6);
  p = fma(f, p, .5f);
  p = fma(f, p, 1.f);
  p = fma(f, p, 1.f);
  return p * bits_of<V>((__builtin_convertvector(n, I) + 127) << 23);
}

// The normal distribution function, by Abramowitz and Stegun 7.1.26 (absolute error 1e-7), and its density.
inline void normal(V z, V& cdf, V& pdf) {
  const V size = bits_of<V>(bits_of<U>(z) & 0x7fffffffu);
  const V x = size * .70710678f, t = 1.f / fma(all(.3275911f), x, 1.f), e = exp_of_negative(-x * x);
  V p = fma(t, all(1.061405429f), -1.453152027f);
  p = fma(t, p, 1.421413741f);
  p = fma(t, p, -.284496736f);
  p = fma(t, p, .254829592f);
  const V tail = .5f * t * p * e;
  cdf = z < 0.f ? tail : 1.f - tail;
  pdf = .39894228f * e;
}

template <int A>
inline V activate(V z) {
  if (A == RELU) return z < 0.f ? V{} : z;  // what is not a number stays so
  if (A == GELU) {
    V cdf, pdf;
    normal(z, cdf, pdf);
    return z * cdf;
  }
  return z;
}

// The gradient before the activation. The sign of ReLU's output tells what it let through, and behind it what dropout
// did: there is no mask to keep.
template <int A>
inline V before_activation(V gradient, V z, V y) {
  if (A == RELU) return (y > 0.f) | (y != y) ? gradient : V{};
  if (A == GELU) {
    V cdf, pdf;
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

// Rows of `channels` numbers. `repeat` of them make a line of lanes, which is long and, but for many channels of an odd
// number, whole vectors. A chunk is whole lines: few enough to be read twice from a core's cache, and to keep eight cores
// busy, and a function of the shape alone.
struct Rows {
  i64 groups, rows, channels, repeat, length, chunk, chunks;
  Rows(i64 groups, i64 rows, i64 channels)
      : groups(groups), rows(rows), channels(channels), repeat(lines_of(channels)), length(channels * repeat),
        chunk(std::max<i64>(1, ceil(std::min(CHUNK / channels, ceil(groups * rows, JOBS)), repeat)) * repeat),
        chunks(ceil(rows, chunk)) {}
  static i64 ceil(i64 a, i64 b) { return (a + b - 1) / b; }
  static i64 lines_of(i64 channels) {
    i64 repeat = std::max<i64>(1, WIDTH / channels);
    while (channels < WIDTH && repeat * channels % LANES) ++repeat;
    return repeat;
  }
};

inline int threads_for(i64 numbers, int given) { return int(std::min<i64>(given, 1 + numbers / SHARE)); }

// Some vectors of a line; of the last one perhaps some lanes only.
template <int N>
struct Whole {
  static constexpr int count = N;
  template <class T>
  V load(const T* p) const { return ::load(p); }
  template <class T>
  void store(T* p, V v) const { ::store(p, v); }
  V kept(V v) const { return v; }
  i64 lanes() const { return N * LANES; }
};
struct Part {
  static constexpr int count = 1;
  i64 size;
  template <class T>
  V load(const T* p) const {
    T some[LANES] = {};
    std::memcpy(some, p, size_t(size) * sizeof(T));
    return ::load(some);
  }
  template <class T>
  void store(T* p, V v) const {
    T some[LANES];
    ::store(some, v);
    std::memcpy(p, some, size_t(size) * sizeof(T));
  }
  V kept(V v) const {  // 0 where there is nothing
    for (i64 i = size; i < LANES; ++i) v[i] = 0.f;
    return v;
  }
  i64 lanes() const { return size; }
};

// Calls body(lanes, first lane) until `length` lanes are done.
template <int N, class Body>
inline void columns(i64 length, Body body) {
  i64 lane = 0;
  for (; lane + N * LANES <= length; lane += N * LANES) body(Whole<N>{}, lane);
  for (; lane + LANES <= length; lane += LANES) body(Whole<1>{}, lane);
  if (lane < length) body(Part{length - lane}, lane);
}

// Calls body(lanes, first lane, first line, lines) for the parts of rows first..last: lines first..lines are whole, and
// after them comes what is left of one.
template <int N, class Body>
inline void parts_of(const Rows& r, i64 first, i64 last, Body body) {
  const i64 lines = (last - first) / r.repeat, rest = (last - first) % r.repeat * r.channels;
  if (lines) columns<N>(r.length, [&](auto lanes, i64 lane) { body(lanes, lane, lines, first * r.channels + lane); });
  const i64 after = (first + lines * r.repeat) * r.channels;
  if (rest) columns<N>(rest, [&](auto lanes, i64 lane) { body(lanes, lane, i64(1), after + lane); });
}

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

template <int N>
struct Vectors {
  V v[N];
  template <class Lanes>
  Vectors(const Lanes& lanes, const float* p) {
    for (int i = 0; i < N; ++i) v[i] = lanes.load(p + i * LANES);
  }
  V operator[](int i) const { return v[i]; }
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
  template <int N>
  struct Here {
    Vectors<N> mean, remainder, scale, shift;
    template <class Lanes>
    Here(const Affine& all, i64 group, const Lanes& lanes, i64 lane)
        : mean(lanes, all.mean.of(group) + lane), remainder(lanes, all.remainder.of(group) + lane),
          scale(lanes, all.scale.of(group) + lane), shift(lanes, all.shift.of(group) + lane) {}
    V centred(V x, int i) const { return (x - mean[i]) - remainder[i]; }
  };
};

// Adds up two float32 functions over rows first..last of a group into float64 s and q, a number a channel. Of some
// lanes, make(lanes, lane) gives the function (at, i, a, b) that adds to both sums what is at `at`.
template <class Make>
void add_up(const Rows& r, i64 first, i64 last, double* s, double* q, Make make) {
  for (i64 row = first; row < last; row += BLOCK * r.repeat) {
    const i64 end = std::min(row + BLOCK * r.repeat, last);
    parts_of<4>(r, row, end, [&](auto lanes, i64 lane, i64 lines, i64 at) {
      constexpr int N = decltype(lanes)::count;
      const auto add = make(lanes, lane);
      V a[N] = {}, b[N] = {};
      for (i64 line = 0; line < lines; ++line, at += r.length)
        for (int i = 0; i < N; ++i) add(at + i * LANES, i, a[i], b[i]);
      float sums[2][N * LANES];
      for (int i = 0; i < N; ++i) {
        store(sums[0] + i * LANES, a[i]);
        store(sums[1] + i * LANES, b[i]);
      }
      for (i64 i = 0, c = lane % r.channels; i < lanes.lanes(); ++i, c = c + 1 == r.channels ? 0 : c + 1) {
        s[c] += sums[0][i];
        q[c] += sums[1][i];
      }
    });
  }
}

// Sums over a chunk of x - centre and of its square; a centre a lane.
template <class T>
void about(const T* x, const Rows& r, i64 first, i64 last, const float* centre, double* s, double* q) {
  std::fill(s, s + r.channels, 0.);
  std::fill(q, q + r.channels, 0.);
  add_up(r, first, last, s, q, [&](auto lanes, i64 lane) {
    const Vectors<decltype(lanes)::count> c(lanes, centre + lane);
    return [=](i64 at, int i, V& a, V& b) {
      const V d = lanes.kept(lanes.load(x + at) - c[i]);
      a += d;
      b = fma(d, d, b);
    };
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
    const T* of_group = x + group * r.rows * C;
    std::vector<float> centre(size_t(r.length), 0.f);
    double *s = &parts[size_t(job * 2 * C)], *q = s + C;
    const double count = double(last - first);
    const i64 some = std::min<i64>(last - first, FIRST);
    for (i64 row = first; row < first + some; ++row)
      for (i64 c = 0; c < C; ++c) centre[size_t(c)] += number(of_group[row * C + c]) / float(some);
    for (bool again = true, is_first = true; again; is_first = false) {
      for (i64 lane = C; lane < r.length; ++lane) centre[size_t(lane)] = centre[size_t(lane - C)];
      about(of_group, r, first, last, centre.data(), s, q);
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

// Moves running statistics by the mean over the groups; `factor` makes a running variance of a biased one.
void move_by(const double* moments, i64 groups, i64 channels, double momentum, double factor, float* mean,
             float* var) {
  const double *means = moments, *vars = moments + groups * channels;
  for (i64 c = 0; c < channels; ++c) {
    double m = 0., v = 0.;
    for (i64 i = c; i < groups * channels; i += channels) {
      m += means[i];
      v += vars[i];
    }
    mean[c] = float((1. - momentum) * mean[c] + momentum * (m / double(groups)));
    var[c] = float((1. - momentum) * var[c] + momentum * factor * (v / double(groups)));
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
  if (masks.images == 0) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (i64 job = 0; job < r.groups * r.chunks; ++job) {
      const i64 group = job / r.chunks, first = job % r.chunks * r.chunk, last = std::min(first + r.chunk, r.rows);
      const i64 start = group * r.rows * r.channels;
      parts_of<4>(r, first, last, [&](auto lanes, i64 lane, i64 lines, i64 at) {
        constexpr int N = decltype(lanes)::count;
        const Affine::Here<N> here(to, group, lanes, lane);
        for (i64 line = 0; line < lines; ++line, at += r.length)
          for (int i = 0; i < N; ++i) {
            const i64 place = start + at + i * LANES;
            lanes.store(y + place, activate<A>(fma(here.centred(lanes.load(x + place), i), here.scale[i], here.shift[i])));
          }
      });
    }
    return;
  }
  const i64 size = r.groups * r.rows / masks.images * r.channels, counts = (size + 15) / 16;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 image = 0; image < masks.images; ++image) {
    const i64 group = image / (masks.images / r.groups);
    std::uint64_t counter = (masks.first + std::uint64_t(image)) * std::uint64_t(counts);
    std::vector<std::int16_t> bits(size_t(r.length + 2 * LANES));
    i64 have = 0;
    for (i64 done = 0, n; done < size; done += n) {
      n = std::min(r.length, size - done);
      for (; have < n; have += 16) {
        std::uint64_t words[4];
        philox(++counter, masks.key0, masks.key1, words);
        std::memcpy(&bits[size_t(have)], words, sizeof words);
      }
      const T* p = x + image * size + done;
      T* o = y + image * size + done;
      columns<1>(n, [&](auto lanes, i64 lane) {
        const Affine::Here<1> here(to, group, lanes, lane);
        Shorts drawn;
        std::memcpy(&drawn, &bits[size_t(lane)], sizeof drawn);
        const I keep = __builtin_convertvector(drawn, I) >= masks.threshold;
        const V v = activate<A>(fma(here.centred(lanes.load(p + lane), 0), here.scale[0], here.shift[0]));
        lanes.store(o + lane, keep ? v * masks.scale : 0.f * v);  // not a number stays so, dropped or not
      });
      have -= n;
      std::memmove(bits.data(), &bits[size_t(n)], size_t(have) * sizeof(std::int16_t));
    }
  }
}

// The gradient t before the norm's shift, of lanes i at `at`. Behind a dropout the output is asked which ones were
// kept; else what ReLU let through shows in its input, and memory is read less.
template <class T, int A, bool DROPS, class Lanes, class Here>
inline V before_shift(const T* gradient, const T* y, const Lanes& lanes, const Here& here, i64 at, int i, V d, V kept) {
  const V g = lanes.load(gradient + at), z = fma(d, here.scale[i], here.shift[i]);
  return before_activation<A>(DROPS ? g * kept : g, z, DROPS ? lanes.load(y + at) : z);
}

// Of the gradients t before the norm's shift: sums of t, and of t times (x - mean), (2, groups, channels); and from
// them the gradients of the norm's scale and shift.
template <class T, int A, bool DROPS>
void gradient_sums(const T* gradient, const T* x, const T* y, const Rows& r, const Affine& to, float kept,
                   const double* moments, double eps, double* sum, float* of_weight, float* of_bias, int threads) {
  double* product = sum + r.groups * r.channels;
  const double* vars = moments + r.groups * r.channels;
  const i64 C = r.channels, jobs = r.groups * r.chunks;
  std::vector<double> parts(size_t(jobs * 2 * C), 0.);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 job = 0; job < jobs; ++job) {
    const i64 group = job / r.chunks, first = job % r.chunks * r.chunk, last = std::min(first + r.chunk, r.rows);
    const i64 start = group * r.rows * C;
    double* s = &parts[size_t(job * 2 * C)];
    add_up(r, first, last, s, s + C, [&](auto lanes, i64 lane) {
      const Affine::Here<decltype(lanes)::count> here(to, group, lanes, lane);
      const V keeps = all(kept);
      return [=](i64 at, int i, V& a, V& b) {
        const V d = here.centred(lanes.load(x + start + at), i);
        const V t = lanes.kept(before_shift<T, A, DROPS>(gradient, y, lanes, here, start + at, i, d, keeps));
        a += t;
        b = fma(t, lanes.kept(d), b);
      };
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
template <class T, int A, bool DROPS>
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
    const i64 group = job / r.chunks, first = job % r.chunks * r.chunk, last = std::min(first + r.chunk, r.rows);
    const i64 start = group * r.rows * r.channels;
    parts_of<2>(r, first, last, [&](auto lanes, i64 lane, i64 lines, i64 at) {
      constexpr int N = decltype(lanes)::count;
      const Affine::Here<N> here(to, group, lanes, lane);
      const Vectors<N> k1(lanes, constant.of(group) + lane), k2(lanes, slope.of(group) + lane);
      const V keeps = all(kept);
      for (i64 line = 0; line < lines; ++line, at += r.length)
        for (int i = 0; i < N; ++i) {
          const i64 place = start + at + i * LANES;
          const V d = here.centred(lanes.load(x + place), i);
          const V t = before_shift<T, A, DROPS>(gradient, y, lanes, here, place, i, d, keeps);
          lanes.store(dx + place, fma(t, here.scale[i], fma(d, k2[i], k1[i])));
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
      columns<1>(C, [&](auto lanes, i64 c) {
        V best = lanes.load(p + c);
        const V others[3] = {lanes.load(p + c + C), lanes.load(q + c), lanes.load(q + c + C)};
        I at = {};
        for (int i = 0; i < 3; ++i) {
          const I wins = (others[i] > best) | (others[i] != others[i]);
          best = wins ? others[i] : best;
          at = wins ? I{} + (i + 1) : at;
        }
        lanes.store(o + c, best);
        const Bytes chosen = __builtin_convertvector(at, Bytes);
        std::memcpy(k + c, &chosen, size_t(std::min(lanes.lanes(), LANES)));
      });
    }
  }
}

// Words of a type's size, which are moved as they are.
template <class T>
struct Words;
template <>
struct Words<float> {
  using Moved = U;
  using Compared = I;
};
template <>
struct Words<bf16> {
  using Moved = Halves;
  using Compared = Shorts;
};

template <class T>
void unpool(const T* gradient, const std::uint8_t* choice, T* dx, i64 N, i64 H, i64 W, i64 C, int threads) {
  using Moved = typename Words<T>::Moved;
  using Compared = typename Words<T>::Compared;
  const i64 h = H / 2, w = W / 2;
  const T zero{};
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i64 row = 0; row < N * h; ++row) {
    T* top = dx + ((row / h) * H + 2 * (row % h)) * W * C;
    for (i64 column = 0; column < w; ++column) {
      T *p = top + 2 * column * C, *q = p + W * C;
      T* const places[4] = {p, p + C, q, q + C};
      const T* g = gradient + (row * w + column) * C;
      const std::uint8_t* k = choice + (row * w + column) * C;
      columns<1>(C, [&](auto lanes, i64 c) {
        const size_t size = size_t(lanes.lanes());
        Bytes chosen = {};
        Moved moved = {};
        std::memcpy(&chosen, k + c, size);
        std::memcpy(&moved, g + c, size * sizeof(T));
        const Compared which = __builtin_convertvector(chosen, Compared);
        for (std::int16_t i = 0; i < 4; ++i) {
          const Moved put = which == Compared{} + i ? moved : Moved{};
          std::memcpy(places[i] + c, &put, size * sizeof(T));
        }
      });
    }
    if (W % 2)
      for (i64 line = 0; line < 2; ++line)
        std::fill(top + (line * W + W - 1) * C, top + (line * W + W) * C, zero);
    if (H % 2 && row % h == h - 1) std::fill(top + 2 * W * C, top + 3 * W * C, zero);
  }
}

// Dropout is behind ReLU alone, and multiplies what it keeps by more than 1.
#define OF_GRADIENTS(FUNCTION, ...)                                   \
  if (activation == RELU && kept > 1.f)                               \
    return FUNCTION<T, RELU, true>(__VA_ARGS__);                      \
  switch (activation) {                                               \
    case RELU: return FUNCTION<T, RELU, false>(__VA_ARGS__);          \
    case GELU: return FUNCTION<T, GELU, false>(__VA_ARGS__);          \
    default: return FUNCTION<T, NONE, false>(__VA_ARGS__);            \
  }

template <class T>
void apply_any(int activation, const T* x, T* y, const Rows& r, const Affine& to, const Masks& masks, int threads) {
  switch (activation) {
    case RELU: return apply<T, RELU>(x, y, r, to, masks, threads);
    case GELU: return apply<T, GELU>(x, y, r, to, masks, threads);
    default: return apply<T, NONE>(x, y, r, to, masks, threads);
  }
}

template <class T>
void sums_any(int activation, const T* gradient, const T* x, const T* y, const Rows& r, const Affine& to, float kept,
              const double* moments, double eps, double* sums, float* of_weight, float* of_bias, int threads) {
  OF_GRADIENTS(gradient_sums, gradient, x, y, r, to, kept, moments, eps, sums, of_weight, of_bias, threads)
}

template <class T>
void gradient_any(int activation, const T* gradient, const T* x, const T* y, T* dx, const Rows& r, const Affine& to,
                  float kept, const double* moments, const float* weight, double eps, const double* sums, double count,
                  int threads) {
  OF_GRADIENTS(gradient_apply, gradient, x, y, dx, r, to, kept, moments, weight, eps, sums, count, threads)
}

}  // namespace

#define EXPORT(NAME, T)                                                                                                \
  extern "C" void statistics_##NAME(const T* x, i64 groups, i64 rows, i64 channels, double* moments, int threads) {    \
    statistics<T>(x, Rows(groups, rows, channels), moments, threads_for(groups * rows * channels, threads));           \
  }                                                                                                                    \
  extern "C" void apply_##NAME(const T* x, T* y, i64 groups, i64 rows, i64 channels, const double* moments,            \
                               const float* weight, const float* bias, double eps, int activation, i64 images,         \
                               std::uint64_t key0, std::uint64_t key1, std::uint64_t first, int threshold,             \
                               double kept, int threads) {                                                             \
    const Rows r(groups, rows, channels);                                                                              \
    const Masks masks{images, key0, key1, first, threshold, float(kept)};                                              \
    apply_any<T>(activation, x, y, r, Affine(r, moments, weight, bias, eps), masks,                                    \
                 threads_for(groups * rows * channels, threads));                                                      \
  }                                                                                                                    \
  extern "C" void gradient_##NAME(const T* gradient, const T* x, const T* y, i64 groups, i64 rows, i64 channels,       \
                                  const double* moments, const float* weight, const float* bias, double eps,           \
                                  int activation, double kept, int is_summed, double count, double* sums,              \
                                  float* of_weight, float* of_bias, T* dx, int threads) {                              \
    const Rows r(groups, rows, channels);                                                                              \
    const Affine to(r, moments, weight, bias, eps);                                                                    \
    threads = threads_for(groups * rows * channels, threads);                                                          \
    if (!is_summed)                                                                                                    \
      sums_any<T>(activation, gradient, x, y, r, to, float(kept), moments, eps, sums, of_weight, of_bias, threads);    \
    if (dx != nullptr)                                                                                                 \
      gradient_any<T>(activation, gradient, x, y, dx, r, to, float(kept), moments, weight, eps, sums, count, threads); \
  }                                                                                                                    \
  extern "C" void pool_##NAME(const T* x, T* y, std::uint8_t* choice, i64 N, i64 H, i64 W, i64 C, int threads) {       \
    pool<T>(x, y, choice, N, H, W, C, threads_for(N * H * W * C, threads));                                            \
  }                                                                                                                    \
  extern "C" void unpool_##NAME(const T* gradient, const std::uint8_t* choice, T* dx, i64 N, i64 H, i64 W, i64 C,      \
                                int threads) {                                                                         \
    unpool<T>(gradient, choice, dx, N, H, W, C, threads_for(N * H * W * C, threads));                                  \
  }

EXPORT(bfloat16, bf16)
EXPORT(float32, float)

extern "C" void move(const double* moments, i64 groups, i64 channels, double momentum, double factor, float* mean,
                     float* var) {
  move_by(moments, groups, channels, momentum, factor, mean, var);
}

extern "C" i64 chunk_rows(i64 groups, i64 rows, i64 channels) { return Rows(groups, rows, channels).chunk; }
