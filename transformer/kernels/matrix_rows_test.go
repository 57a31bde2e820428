package kernels

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Weights that leave a matrix for a device are those that came in.
func TestAppendRowGivesWhatSetRowsTook(t *testing.T) {
	const rows, cols = 70, 96
	for _, format := range []Format{F32, F16, BF16, Q8, Q4} {
		t.Run(format.String(), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			data := make([]byte, rows*format.RowBytes(cols))
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			m := NewMatrix(format, rows, cols)
			require.NoError(t, m.SetRows(0, data))
			var got []byte
			for r := range rows {
				got = m.AppendRow(got, r)
			}
			require.Equal(t, data, got)
			require.Equal(t, format.RowBytes(cols), m.RowSize())
		})
	}
	t.Run("columns that are no whole groups", func(t *testing.T) {
		m := NewMatrix(Q8, 1, 33)
		values := make([]float32, 33)
		values[32] = 1
		require.NoError(t, m.SetFloats(0, values))
		row := m.AppendRow(nil, 0)
		require.Len(t, row, m.RowSize())
		require.Equal(t, byte(127), row[q8BlockSize+2])
		require.Equal(t, make([]byte, 31), row[q8BlockSize+3:])
	})
}
