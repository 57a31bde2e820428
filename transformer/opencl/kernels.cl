// What a step does besides products with weights. HALF_CACHE says that keys and values are kept as float16, rather than float32.
//
// meta is what the host says about a batch: a list of integers, of whose parts kernels get the places. A row is a token of the batch;
// "of row" below is at that place plus the row's number. A map gives the row for each of the things that a kernel works on.

#pragma OPENCL FP_CONTRACT OFF

#define PAGE 32 // tokens of a page of the cache

#ifdef HALF_CACHE
typedef half cached;
#define LOAD(data, at) vload_half(at, data)
#define STORE(value, data, at) vstore_half_rte(value, at, data)
#else
typedef float cached;
#define LOAD(data, at) (data)[at]
#define STORE(value, data, at) (data)[at] = (value)
#endif

// add_extras adds vectors (count, width) to the rows of x that meta names, one after the other: several may be for the same row.
__kernel void add_extras(__global float *x, int step, __global const float *vectors, __global const int *meta, int rows, int count, int width)
{
	int column = get_global_id(0);
	if (column >= width)
		return;
	for (int i = 0; i < count; i++)
		x[(size_t)meta[rows + i] * step + column] += vectors[(size_t)i * width + column];
}

// gather copies the rows of from that a map names.
__kernel void gather(__global const float *from, __global float *to, int step, __global const int *meta, int map)
{
	int column = get_global_id(0), i = get_global_id(1);
	if (column < step)
		to[(size_t)i * step + column] = from[(size_t)meta[map + i] * step + column];
}

#define NORM 128 // work-items that sum one row

// norm sets out to RMSNorm of rows of x, by a map.
__kernel __attribute__((reqd_work_group_size(NORM, 1, 1)))
void norm(__global const float *x, __global float *out, int step, __global const float *weight, int width, float epsilon,
	__global const int *meta, int map)
{
	__local float sums[NORM];
	int lane = get_local_id(0), i = get_global_id(1);
	__global const float *row = x + (size_t)meta[map + i] * step;
	float sum = 0;
	for (int c = lane; c < width; c += NORM)
		sum = fma(row[c], row[c], sum);
	sums[lane] = sum;
	for (int half_way = NORM / 2; half_way > 0; half_way /= 2) {
		barrier(CLK_LOCAL_MEM_FENCE);
		if (lane < half_way)
			sums[lane] += sums[lane + half_way];
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	float scale = 1.0f / sqrt(sums[0] / (float)width + epsilon);
	for (int c = lane; c < width; c += NORM)
		out[(size_t)i * step + c] = row[c] * scale * weight[c];
}

// swiglu sets out (n, step) to silu(gate) * up; inner is (n, 2 * width), gate beside up.
__kernel void swiglu(__global const float *inner, __global float *out, int step, int width)
{
	int column = get_global_id(0), i = get_global_id(1);
	if (column >= width)
		return;
	float gate = inner[(size_t)i * 2 * width + column], up = inner[(size_t)i * 2 * width + width + column];
	out[(size_t)i * step + column] = gate / (1.0f + exp(-gate)) * up;
}

// turn is RoPE of one pair of numbers.
float2 turn(float first, float second, float cosine, float sine)
{
	return (float2)(fma(first, cosine, -(second * sine)), fma(second, cosine, first * sine));
}

// turn_queries turns the queries in qkv (n, step). angles is (rows, 2, pairs): cosines, then sines. A head is 2 * pairs.
__kernel void turn_queries(__global float *qkv, int step, __global const float *angles, int pairs, __global const int *meta, int map)
{
	int pair = get_global_id(0), head = get_global_id(1), i = get_global_id(2);
	if (pair >= pairs)
		return;
	__global const float *angle = angles + (size_t)meta[map + i] * 2 * pairs + pair;
	__global float *at = qkv + (size_t)i * step + head * 2 * pairs + pair;
	float2 turned = turn(at[0], at[pairs], angle[0], angle[pairs]);
	at[0] = turned.x;
	at[pairs] = turned.y;
}

// place_of is where a page's keys of one head begin; its values follow. Keys are (headDim, PAGE), values (PAGE, headDim).
size_t place_of(int page, int head, int kv_heads, int head_dim)
{
	return ((size_t)page * kv_heads + head) * 2 * head_dim * PAGE;
}

// store turns the keys in qkv and puts keys and values into the cache. positions of row, tables of row: where its sequence's pages begin in meta.
__kernel void store(__global const float *qkv, int step, int keys, __global const float *angles, int pairs, __global const int *meta,
	int positions, int tables, __global cached *cache, int kv_heads)
{
	int pair = get_global_id(0), head = get_global_id(1), row = get_global_id(2);
	if (pair >= pairs)
		return;
	int head_dim = 2 * pairs, position = meta[positions + row], page = meta[meta[tables + row] + position / PAGE], slot = position % PAGE;
	__global const float *angle = angles + (size_t)row * 2 * pairs + pair;
	__global const float *key = qkv + (size_t)row * step + keys + head * head_dim + pair;
	__global const float *value = key + kv_heads * head_dim;
	size_t at = place_of(page, head, kv_heads, head_dim);
	float2 turned = turn(key[0], key[pairs], angle[0], angle[pairs]);
	STORE(turned.x, cache, at + pair * PAGE + slot);
	STORE(turned.y, cache, at + (pair + pairs) * PAGE + slot);
	at += head_dim * PAGE + slot * head_dim + pair;
	STORE(value[0], cache, at);
	STORE(value[pairs], cache, at + pairs);
}

#define ATTEND 64 // work-items of one query and head, and how many positions they look at together

// attend gathers values for one query and head in each work-group: a softmax over positions that is corrected as greater scores come
// (Milakov and Gimelshein 2018). group is how many heads share one of the cache. query and sum have room for a head.
__kernel __attribute__((reqd_work_group_size(ATTEND, 1, 1)))
void attend(__global const float *qkv, int step, __global float *mixed, int mixed_step, __global const int *meta, int map, int positions,
	int tables, __global const cached *cache, int kv_heads, int group, int head_dim, float scale, __local float *query, __local float *sum)
{
	__local float weights[ATTEND];
	int lane = get_local_id(0), head = get_group_id(1), i = get_group_id(2);
	int row = meta[map + i], last = meta[positions + row];
	__global const int *pages = meta + meta[tables + row];
	for (int d = lane; d < head_dim; d += ATTEND) {
		query[d] = qkv[(size_t)i * step + head * head_dim + d] * scale;
		sum[d] = 0;
	}
	float greatest = -INFINITY, total = 0;
	for (int first = 0; first <= last; first += ATTEND) {
		int position = first + lane, count = min(ATTEND, last + 1 - first);
		barrier(CLK_LOCAL_MEM_FENCE); // the query is there, and nobody needs the weights before
		float score = -INFINITY;
		if (position <= last) {
			__global const cached *keys = cache + place_of(pages[position / PAGE], head / group, kv_heads, head_dim) + position % PAGE;
			score = 0;
			for (int d = 0; d < head_dim; d++)
				score = fma(query[d], LOAD(keys, d * PAGE), score);
		}
		weights[lane] = score;
		barrier(CLK_LOCAL_MEM_FENCE);
		float before = greatest;
		for (int p = 0; p < count; p++)
			greatest = fmax(greatest, weights[p]);
		barrier(CLK_LOCAL_MEM_FENCE);
		weights[lane] = exp(score - greatest);
		barrier(CLK_LOCAL_MEM_FENCE);
		float correction = exp(before - greatest);
		total *= correction;
		for (int p = 0; p < count; p++)
			total += weights[p];
		for (int d = lane; d < head_dim; d += ATTEND) {
			float gathered = sum[d] * correction;
			for (int p = 0; p < count; p++) {
				__global const cached *values = cache + place_of(pages[(first + p) / PAGE], head / group, kv_heads, head_dim) + head_dim * PAGE;
				gathered = fma(weights[p], LOAD(values, ((first + p) % PAGE) * head_dim + d), gathered);
			}
			sum[d] = gathered;
		}
	}
	for (int d = lane; d < head_dim; d += ATTEND)
		mixed[(size_t)i * mixed_step + head * head_dim + d] = sum[d] / total;
}
