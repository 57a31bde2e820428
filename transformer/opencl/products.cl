// What reads weights. FORMAT is how they are kept: F32, F16, BF16, Q8 or Q4, a number of package kernels.
//
// A matrix lies in blocks of 32 rows, a block in units: eight columns of a row, the units of the 32 rows side by side, so that work-items that
// follow one another read addresses that do. Q8 and Q4 have a float16 scale for each group of 32 columns: (blocks, groups, 32). Rows and
// columns are filled up with zeros.
//
// Every product sums in one order: eight groups of columns make a segment, which is summed column after column; segments are added one
// after the other. So a row of the result is the same, to the last bit, whichever kernel computes it.

#pragma OPENCL FP_CONTRACT OFF

#define F32 0
#define F16 1
#define BF16 2
#define Q8 3
#define Q4 4

#define BLOCK 32
#define SEGMENT 8 // groups

// weights_at gives a unit as floats, all of which every format's numbers are without rounding.
float8 weights_at(__global const uchar *weights, size_t unit, float scale)
{
#if FORMAT == F32
	return vload8(unit, (__global const float *)weights);
#elif FORMAT == F16
	return vload_half8(unit, (__global const half *)weights);
#elif FORMAT == BF16
	return as_float8(convert_uint8(vload8(unit, (__global const ushort *)weights)) << 16);
#elif FORMAT == Q8
	return convert_float8(vload8(unit, (__global const char *)weights)) * scale;
#else // byte i has column 2i in its low half and column 2i+1 in its high half, each plus 8
	uchar4 four = vload4(unit, weights);
	uchar4 low = four & (uchar4)(15), high = four >> (uchar4)(4);
	return (convert_float8((uchar8)(low.s0, high.s0, low.s1, high.s1, low.s2, high.s2, low.s3, high.s3)) - 8.0f) * scale;
#endif
}

float scale_at(__global const half *scales, size_t block, int groups, int group, int row)
{
#if FORMAT >= Q8
	return vload_half((block * groups + group) * BLOCK + row, scales);
#else
	return 1;
#endif
}

size_t unit_at(size_t block, int groups, int unit, int row)
{
	return (block * groups * 4 + unit) * BLOCK + row;
}

// embed sets rows of x (n, 32 * groups) to the rows of the matrix that the tokens in meta name.
__kernel void embed(__global const uchar *weights, __global const half *scales, int groups, __global const int *meta, int tokens, __global float *x)
{
	int unit = get_global_id(0), i = get_global_id(1);
	if (unit >= 4 * groups)
		return;
	int token = meta[tokens + i], block = token / BLOCK, row = token % BLOCK;
	float scale = scale_at(scales, block, groups, unit / 4, row);
	vstore8(weights_at(weights, unit_at(block, groups, unit, row), scale), (size_t)i * groups * 4 + unit, x);
}

float dot_on(float8 w, float8 x, float sum)
{
	sum = fma(w.s0, x.s0, sum);
	sum = fma(w.s1, x.s1, sum);
	sum = fma(w.s2, x.s2, sum);
	sum = fma(w.s3, x.s3, sum);
	sum = fma(w.s4, x.s4, sum);
	sum = fma(w.s5, x.s5, sum);
	sum = fma(w.s6, x.s6, sum);
	return fma(w.s7, x.s7, sum);
}

void put(__global float *out, float value, int add)
{
	*out = add ? *out + value : value;
}

// The few inputs of decoding: a work-group has 32 rows of the matrix and LANES segments at a time, and reads a weight once for ROWS inputs. x is
// (n, 32 * groups), the result for input i and row r goes to out[i * step + offset + r]. The kernel has room for LANES * BLOCK * ROWS sums.
#define LANES 8
#define MOST 8 // the largest ROWS

void product_few(const int ROWS, __local float *sums, __global const uchar *weights, __global const half *scales, int rows, int groups,
	__global const float *x, int n, __global float *out, int step, int offset, int add)
{
	int row = get_local_id(0), lane = get_local_id(1), first = get_group_id(2) * ROWS;
	size_t block = get_group_id(0);
	int segments = (groups + SEGMENT - 1) / SEGMENT;
	float total[MOST], sum[MOST];
	for (int i = 0; i < ROWS; i++)
		total[i] = 0;
	for (int round = 0; round < segments; round += LANES) {
		for (int i = 0; i < ROWS; i++)
			sum[i] = 0;
		int from = (round + lane) * SEGMENT;
		for (int group = from; group < min(groups, from + SEGMENT); group++) {
			float scale = scale_at(scales, block, groups, group, row);
			for (int unit = 4 * group; unit < 4 * group + 4; unit++) {
				float8 w = weights_at(weights, unit_at(block, groups, unit, row), scale);
				for (int i = 0; i < ROWS; i++)
					sum[i] = dot_on(w, vload8((size_t)min(first + i, n - 1) * groups * 4 + unit, x), sum[i]);
			}
		}
		for (int i = 0; i < ROWS; i++)
			sums[(lane * ROWS + i) * BLOCK + row] = sum[i];
		barrier(CLK_LOCAL_MEM_FENCE);
		if (lane == 0)
			for (int l = 0; l < min(LANES, segments - round); l++)
				for (int i = 0; i < ROWS; i++)
					total[i] += sums[(l * ROWS + i) * BLOCK + row];
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	int to = block * BLOCK + row;
	if (lane == 0 && to < rows)
		for (int i = 0; i < ROWS && first + i < n; i++)
			put(out + (size_t)(first + i) * step + offset + to, total[i], add);
}

#define FEW(NAME, ROWS) \
	__kernel __attribute__((reqd_work_group_size(BLOCK, LANES, 1))) \
	void NAME(__global const uchar *weights, __global const half *scales, int rows, int groups, \
		__global const float *x, int n, __global float *out, int step, int offset, int add) \
	{ \
		__local float sums[LANES * BLOCK * ROWS]; \
		product_few(ROWS, sums, weights, scales, rows, groups, x, n, out, step, offset, add); \
	}

FEW(product_1, 1)
FEW(product_4, 4)
FEW(product_8, 8)

// The many inputs of a prompt: a work-group has 64 rows of the matrix and 64 inputs, a work-item 4 by 4 of them, 16 apart.
#define TILE 64
#define SIDE 16
#define EACH 4

__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1)))
void product_many(__global const uchar *weights, __global const half *scales, int rows, int groups,
	__global const float *x, int n, __global float *out, int step, int offset, int add)
{
	__local float w[32][TILE + 1], v[32][TILE + 1];
	int lx = get_local_id(0), ly = get_local_id(1), id = ly * SIDE + lx;
	int first_row = get_group_id(0) * TILE, first = get_group_id(2) * TILE;
	// What this work-item loads of each group: a unit of one row, and eight columns of one input.
	int row = id % TILE, unit = id / TILE, input = id / 4, part = id % 4;
	size_t block = (first_row + row) / BLOCK;
	bool has_row = block * BLOCK < (size_t)rows, has_input = first + input < n;
	float total[EACH][EACH], sum[EACH][EACH];
	for (int i = 0; i < EACH; i++)
		for (int j = 0; j < EACH; j++)
			total[i][j] = sum[i][j] = 0;
	for (int group = 0; group < groups; group++) {
		float8 part_w = 0, part_x = 0;
		if (has_row)
			part_w = weights_at(weights, unit_at(block, groups, 4 * group + unit, row % BLOCK), scale_at(scales, block, groups, group, row % BLOCK));
		if (has_input)
			part_x = vload8(((size_t)(first + input) * groups + group) * 4 + part, x);
		float eight_w[8], eight_x[8];
		vstore8(part_w, 0, eight_w);
		vstore8(part_x, 0, eight_x);
		for (int c = 0; c < 8; c++) {
			w[8 * unit + c][row] = eight_w[c];
			v[8 * part + c][input] = eight_x[c];
		}
		barrier(CLK_LOCAL_MEM_FENCE);
		for (int c = 0; c < 32; c++) {
			float four_w[EACH], four_x[EACH];
			for (int i = 0; i < EACH; i++) {
				four_w[i] = w[c][lx + i * SIDE];
				four_x[i] = v[c][ly + i * SIDE];
			}
			for (int i = 0; i < EACH; i++)
				for (int j = 0; j < EACH; j++)
					sum[i][j] = fma(four_w[i], four_x[j], sum[i][j]);
		}
		barrier(CLK_LOCAL_MEM_FENCE);
		if (group % SEGMENT == SEGMENT - 1 || group == groups - 1)
			for (int i = 0; i < EACH; i++)
				for (int j = 0; j < EACH; j++) {
					total[i][j] += sum[i][j];
					sum[i][j] = 0;
				}
	}
	for (int i = 0; i < EACH; i++)
		for (int j = 0; j < EACH; j++) {
			int r = first_row + lx + i * SIDE, at = first + ly + j * SIDE;
			if (r < rows && at < n)
				put(out + (size_t)at * step + offset + r, total[i][j], add);
		}
}
