"""The norms' kernels for GPUs, in Triton's language; ``on_gpus`` calls them.

A group of images is a matrix of rows by channels, an image one stretch of numbers. Numbers are
float32 here, whatever they are stored as; what is added up over rows is added up in parts, and the
parts in float64.
"""

from __future__ import annotations

import triton
import triton.language as tl

RELU, GELU = tl.constexpr(1), tl.constexpr(2)  # of ``operations.Activation``


@triton.jit
def moments_of_parts(
    x,
    parts,
    rows,
    part,
    channels,
    TILE_ROWS: tl.constexpr,
    TILE_CHANNELS: tl.constexpr,
):
    """Of each channel in a part of a group: a number, the mean less it, and squares about that.

    The number is near to the mean, so that means far from 0 keep their last digits.
    """
    num_parts = tl.cdiv(rows, part)
    group = tl.program_id(0) // num_parts
    index = tl.program_id(0) % num_parts
    c = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    is_channel = c < channels
    first = index * part
    last = tl.minimum(first + part, rows)
    begin = x + group.to(tl.int64) * rows * channels
    place, is_in = _tile(first, last, c, channels, TILE_ROWS)
    v = tl.load(begin + place, mask=is_in, other=0.0).to(tl.float32)
    centre = tl.sum(v, 0) / tl.minimum(TILE_ROWS, last - first).to(tl.float32)
    count = 0.0
    mean = tl.zeros((TILE_CHANNELS,), tl.float32)
    squares = tl.zeros((TILE_CHANNELS,), tl.float32)
    for start in range(first, last, TILE_ROWS):
        place, is_in = _tile(start, last, c, channels, TILE_ROWS)
        v = tl.load(begin + place, mask=is_in, other=0.0).to(tl.float32)
        v = tl.where(is_in, v - centre[None, :], 0.0)
        more = tl.minimum(TILE_ROWS, last - start).to(tl.float32)
        own = tl.sum(v, 0) / more
        off = tl.where(is_in, v - own[None, :], 0.0)
        total = count + more
        # Chan, Golub and LeVeque (1983): moments of two sets are those of their union.
        delta = own - mean
        squares += tl.sum(off * off, 0) + delta * delta * (count * more / total)
        mean += delta * (more / total)
        count = total
    place = parts + tl.program_id(0) * channels + c
    plane = tl.num_programs(0) * channels
    tl.store(place, centre, mask=is_channel)
    tl.store(place + plane, mean, mask=is_channel)
    tl.store(place + 2 * plane, squares, mask=is_channel)


@triton.jit
def moments_of_groups(
    parts,
    moments,
    rows,
    part,
    channels,
    TILE_CHANNELS: tl.constexpr,
):
    """Mean and biased variance of a group, from those of its parts."""
    num_parts = tl.cdiv(rows, part)
    group, groups = tl.program_id(0), tl.num_programs(0)
    c = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    is_in = c < channels
    plane = groups * num_parts * channels
    mean = tl.zeros((TILE_CHANNELS,), tl.float64)
    squares = tl.zeros((TILE_CHANNELS,), tl.float64)
    for index in range(num_parts):
        place = parts + (group * num_parts + index) * channels + c
        own = tl.load(place, mask=is_in, other=0.0).to(tl.float64)
        own += tl.load(place + plane, mask=is_in, other=0.0).to(tl.float64)
        about = tl.load(place + 2 * plane, mask=is_in, other=0.0).to(tl.float64)
        count = (index * part).to(tl.float64)
        more = tl.minimum(part, rows - index * part).to(tl.float64)
        delta = own - mean
        squares += about + delta * delta * (count * more / (count + more))
        mean += delta * (more / (count + more))
    place = moments + group * channels + c
    tl.store(place, mean, mask=is_in)
    tl.store(place + groups * channels, squares / rows, mask=is_in)


@triton.jit
def apply(
    x,
    y,
    moments,
    weight,
    bias,
    masks,
    groups,
    images,
    size,
    channels,
    threshold,
    kept,
    EPS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DROPS: tl.constexpr,
    BLOCK: tl.constexpr,
    PER_COUNT: tl.constexpr,
):
    """A block of an image, normalised; then its activation and its dropout."""
    image = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_in = e < size
    v = tl.load(x + image * size + e, mask=is_in, other=0.0).to(tl.float32)
    group = (image // images).to(tl.int32)
    centred, rstd = _normalised(v, moments, group, groups, e % channels, channels, EPS, is_in)
    z = _scaled(centred, rstd, weight, bias, e % channels, is_in)
    if ACTIVATION == RELU:
        z = tl.where(z <= 0.0, 0.0, z)  # what isn't a number stays so
    elif ACTIVATION == GELU:
        z = z * _normal_cdf(z)
    if DROPS:
        counts = tl.cdiv(size, PER_COUNT)
        first = tl.load(masks + 2) + image
        own = tl.program_id(1) * (BLOCK // PER_COUNT) + tl.arange(0, BLOCK // PER_COUNT)
        bits = _sixteen_bits(first * counts + own + 1, tl.load(masks), tl.load(masks + 1), BLOCK)
        z *= tl.where(bits >= threshold, kept, 0.0)
    tl.store(y + image * size + e, z.to(y.dtype.element_ty), mask=is_in)


@triton.jit
def sums_of_parts(
    gradient,
    x,
    y,
    moments,
    weight,
    bias,
    parts,
    groups,
    rows,
    part,
    channels,
    kept,
    EPS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DROPS: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_CHANNELS: tl.constexpr,
):
    """Sums over the rows of a part: of the gradients, and of their products with the images."""
    num_parts = tl.cdiv(rows, part)
    group = tl.program_id(0) // num_parts
    index = tl.program_id(0) % num_parts
    c = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    is_channel = (c < channels)[None, :]
    first = index * part
    last = tl.minimum(first + part, rows)
    begin = group.to(tl.int64) * rows * channels
    of_one = tl.zeros((TILE_CHANNELS,), tl.float32)
    of_images = tl.zeros((TILE_CHANNELS,), tl.float32)
    for start in range(first, last, TILE_ROWS):
        place, is_in = _tile(start, last, c, channels, TILE_ROWS)
        place += begin
        v = tl.load(x + place, mask=is_in, other=0.0).to(tl.float32)
        t = tl.load(gradient + place, mask=is_in, other=0.0).to(tl.float32)
        each = c[None, :]
        centred, rstd = _normalised(v, moments, group, groups, each, channels, EPS, is_channel)
        z = _scaled(centred, rstd, weight, bias, each, is_channel)
        t = _before(t, z, y + place, is_in, kept, ACTIVATION, DROPS)
        of_one += tl.sum(t, 0)
        of_images += tl.sum(t * centred, 0)
    place = parts + tl.program_id(0) * channels + c
    tl.store(place, of_one, mask=c < channels)
    tl.store(place + tl.num_programs(0) * channels, of_images, mask=c < channels)


@triton.jit
def sums_of_groups(
    parts,
    moments,
    of_groups,
    of_weight,
    of_bias,
    groups,
    num_parts,
    channels,
    EPS: tl.constexpr,
    TILE_CHANNELS: tl.constexpr,
):
    """The sums of all groups, and what weight and bias have of them."""
    c = tl.program_id(0) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    is_in = c < channels
    weight = tl.zeros((TILE_CHANNELS,), tl.float64)
    bias = tl.zeros((TILE_CHANNELS,), tl.float64)
    for group in range(groups):
        of_one = tl.zeros((TILE_CHANNELS,), tl.float64)
        of_images = tl.zeros((TILE_CHANNELS,), tl.float64)
        for index in range(num_parts):
            place = parts + (group * num_parts + index) * channels + c
            of_one += tl.load(place, mask=is_in, other=0.0).to(tl.float64)
            place += groups * num_parts * channels
            of_images += tl.load(place, mask=is_in, other=0.0).to(tl.float64)
        place = group * channels + c
        tl.store(of_groups + place, of_one, mask=is_in)
        tl.store(of_groups + groups * channels + place, of_images, mask=is_in)
        var = tl.load(moments + groups * channels + place, mask=is_in, other=1.0)
        weight += of_images / tl.sqrt(var + EPS)
        bias += of_one
    tl.store(of_weight + c, weight.to(tl.float32), mask=is_in)
    tl.store(of_bias + c, bias.to(tl.float32), mask=is_in)


@triton.jit
def gradient(
    gradient,
    x,
    y,
    result,
    moments,
    weight,
    bias,
    of_groups,
    groups,
    images,
    size,
    channels,
    kept,
    per_count,
    EPS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DROPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of a block of an image."""
    image = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_in = e < size
    c = e % channels
    place = image * size + e
    v = tl.load(x + place, mask=is_in, other=0.0).to(tl.float32)
    t = tl.load(gradient + place, mask=is_in, other=0.0).to(tl.float32)
    group = (image // images).to(tl.int32)
    centred, rstd = _normalised(v, moments, group, groups, c, channels, EPS, is_in)
    z = _scaled(centred, rstd, weight, bias, c, is_in)
    t = _before(t, z, y + place, is_in, kept, ACTIVATION, DROPS)
    of_one = tl.load(of_groups + group * channels + c, mask=is_in, other=0.0)
    of_images = tl.load(of_groups + (groups + group) * channels + c, mask=is_in, other=0.0)
    mean = (of_one * per_count).to(tl.float32)
    slope = (of_images * per_count).to(tl.float32) * rstd * rstd
    scale = rstd * tl.load(weight + c, mask=is_in, other=0.0)
    value = scale * (t - mean - centred * slope)
    tl.store(result + place, value.to(result.dtype.element_ty), mask=is_in)


@triton.jit
def move(
    moments,
    mean,
    var,
    groups,
    channels,
    momentum,
    factor,
    TILE_CHANNELS: tl.constexpr,
):
    """Running statistics, moved towards the mean of those of the groups."""
    c = tl.program_id(0) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    is_in = c < channels
    own_mean = tl.zeros((TILE_CHANNELS,), tl.float64)
    own_var = tl.zeros((TILE_CHANNELS,), tl.float64)
    for group in range(groups):
        own_mean += tl.load(moments + group * channels + c, mask=is_in, other=0.0)
        own_var += tl.load(moments + (groups + group) * channels + c, mask=is_in, other=0.0)
    old_mean = tl.load(mean + c, mask=is_in, other=0.0).to(tl.float64)
    old_var = tl.load(var + c, mask=is_in, other=0.0).to(tl.float64)
    new_mean = old_mean + momentum * (own_mean / groups - old_mean)
    new_var = old_var + momentum * (own_var / groups * factor - old_var)
    tl.store(mean + c, new_mean.to(tl.float32), mask=is_in)
    tl.store(var + c, new_var.to(tl.float32), mask=is_in)


# What they share ---------------------------------------------------------------------------------


@triton.jit
def _tile(start, last, c, channels, TILE_ROWS: tl.constexpr):
    """Where rows from ``start`` on lie in a group, at channels ``c``; which of them there are."""
    r = start + tl.arange(0, TILE_ROWS)
    place = r.to(tl.int64)[:, None] * channels + c[None, :]
    return place, (r < last)[:, None] & (c < channels)[None, :]


@triton.jit
def _normalised(v, moments, group, groups, c, channels, EPS: tl.constexpr, is_in):
    """Numbers less their channel's mean, and one over its standard deviation.

    The mean is in two float32: numbers that lie far from 0, and near to each other, keep theirs.
    """
    mean = tl.load(moments + group * channels + c, mask=is_in, other=0.0)
    var = tl.load(moments + (groups + group) * channels + c, mask=is_in, other=1.0)
    high = mean.to(tl.float32)
    low = (mean - high.to(tl.float64)).to(tl.float32)
    return (v - high) - low, 1.0 / tl.sqrt(var.to(tl.float32) + EPS)


@triton.jit
def _scaled(centred, rstd, weight, bias, c, is_in):
    """What the norm gives."""
    w = tl.load(weight + c, mask=is_in, other=0.0)
    return centred * (rstd * w) + tl.load(bias + c, mask=is_in, other=0.0)


@triton.jit
def _before(
    t,
    z,
    y,
    is_in,
    kept,
    ACTIVATION: tl.constexpr,
    DROPS: tl.constexpr,
):
    """The gradient of what the norm gives, ``z``, from that of what follows it, ``t``."""
    if DROPS:  # behind a ReLU: what is above 0 was kept by both
        return tl.where(tl.load(y, mask=is_in, other=0.0) > 0, t * kept, 0.0)
    if ACTIVATION == RELU:
        return tl.where(z > 0, t, 0.0)
    if ACTIVATION == GELU:
        density = tl.exp(z * z * -0.5) * 0.3989422804014327
        return t * (_normal_cdf(z) + z * density)
    return t


@triton.jit
def _normal_cdf(z):
    return 0.5 * (1.0 + tl.erf(z * 0.7071067811865476))


@triton.jit
def _sixteen_bits(counter, key0, key1, BLOCK: tl.constexpr):
    """Sixteen signed numbers of 16 bits for each counter, as ``dropout.sixteen_bits`` has them."""
    a, b, c, d = _philox(counter.to(tl.uint64), key0.to(tl.uint64), key1.to(tl.uint64))
    words = tl.join(tl.join(a, c), tl.join(b, d))  # (counters, 2, 2): a, b; c, d
    words = words.reshape(BLOCK // 4)[:, None]
    shifts = (tl.arange(0, 4) * 16).to(tl.uint64)[None, :]
    bits = ((words >> shifts) & 0xFFFF).to(tl.int32).reshape(BLOCK)
    return tl.where(bits >= 32768, bits - 65536, bits)


@triton.jit
def _philox(a, key0, key1):
    """Philox4x64-10 (Salmon et al., 2011) as NumPy's: the four words of each counter."""
    b = tl.zeros_like(a)
    c = tl.zeros_like(a)
    d = tl.zeros_like(a)
    first = tl.full(a.shape, 0xD2E7470EE14C6C93, tl.uint64)
    second = tl.full(a.shape, 0xCA5A826395121157, tl.uint64)
    for _ in tl.static_range(10):
        of_a = tl.umulhi(first, a)
        of_c = tl.umulhi(second, c)
        low_a = first * a
        low_c = second * c
        a = of_c ^ b ^ key0
        b = low_c
        c = of_a ^ d ^ key1
        d = low_a
        key0 += 0x9E3779B97F4A7C15
        key1 += 0xBB67AE8584CAA73B
    return a, b, c, d
