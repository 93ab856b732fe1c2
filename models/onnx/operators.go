package onnx

import (
	"math"

	"github.com/pdquant/pdquant/models"
)

// operator is one entry of the table.
type operator struct {
	layer func(im *importer, n *node) error // appends layers; nil: only constants are read
	fold  fold                              // nil: layer computes constants, too
}

// fold computes a constant of constants.
type fold func(im *importer, n *node) (*constant, error)

// operators is the table of what is read.
func operators() map[string]operator {
	t := map[string]operator{}
	for _, family := range []map[string]operator{products(), activations(), arithmetic(), norms(), pools(), shapes(),
		comparisons()} {
		for name, op := range family {
			t[name] = op
		}
	}
	return t
}

func products() map[string]operator {
	return map[string]operator{
		"Conv":   {layer: importConv},
		"Gemm":   {layer: importGemm},
		"MatMul": {layer: importMatMul},
	}
}

func activations() map[string]operator {
	return map[string]operator{
		"Relu":            {importReLU, foldUnary(func(x float64) float64 { return max(x, 0) })},
		"Clip":            {importClip, foldClip},
		"LeakyRelu":       {layer: importParametric(models.FuncLeakyReLU, "alpha", 0.01, "", 0)},
		"PRelu":           {layer: importPReLU},
		"Elu":             {layer: importParametric(models.FuncELU, "alpha", 1, "", 0)},
		"Celu":            {layer: importParametric(models.FuncCELU, "alpha", 1, "", 0)},
		"Selu":            {layer: importParametric(models.FuncSELU, "alpha", 1.6732632, "gamma", 1.0507010)},
		"ThresholdedRelu": {layer: importParametric(models.FuncThresholdedReLU, "alpha", 1, "", 0)},
		"Sigmoid":         {layer: importPointwise(models.FuncSigmoid)},
		"HardSigmoid":     {layer: importParametric(models.FuncHardSigmoid, "alpha", 0.2, "beta", 0.5)},
		"HardSwish":       {layer: importPointwise(models.FuncHardSwish)},
		"Swish":           {layer: importSwish},
		"Mish":            {layer: importPointwise(models.FuncMish)},
		"Tanh":            {layer: importPointwise(models.FuncTanh)},
		"Gelu":            {layer: importGelu},
		"Softplus":        {layer: importPointwise(models.FuncSoftplus)},
		"Softsign":        {layer: importPointwise(models.FuncSoftsign)},
		"Softmax":         {layer: importSoftmax(false)},
		"LogSoftmax":      {layer: importSoftmax(true)},
	}
}

func arithmetic() map[string]operator {
	return map[string]operator{
		"Add": {importBinary(models.BinaryAdd), foldBinary(func(x, y float64) float64 { return x + y }, sum(1))},
		"Sub": {importBinary(models.BinarySub), foldBinary(func(x, y float64) float64 { return x - y }, sum(-1))},
		"Mul": {importBinary(models.BinaryMul), foldBinary(func(x, y float64) float64 { return x * y }, times)},
		"Div": {importBinary(models.BinaryDiv), foldBinary(func(x, y float64) float64 { return x / y }, over)},
		"Mod": {fold: foldMod},
		"Pow": {importBinary(models.BinaryPow), foldBinary(math.Pow,
			plainly(func(x, y int64) int64 { return int64(math.Pow(float64(x), float64(y))) }))},
		"Max": {importVariadic(models.BinaryMax, false),
			foldVariadic(math.Max, plainly(func(x, y int64) int64 { return max(x, y) }))},
		"Min": {importVariadic(models.BinaryMin, false),
			foldVariadic(math.Min, plainly(func(x, y int64) int64 { return min(x, y) }))},
		"Sum": {importVariadic(models.BinaryAdd, false), foldVariadic(func(x, y float64) float64 { return x + y }, sum(1))},

		"Mean":       {layer: importVariadic(models.BinaryAdd, true)},
		"Neg":        {importPointwise(models.FuncNeg), foldUnary(func(x float64) float64 { return -x })},
		"Abs":        {importPointwise(models.FuncAbs), foldUnary(math.Abs)},
		"Exp":        {importPointwise(models.FuncExp), foldUnary(math.Exp)},
		"Log":        {importPointwise(models.FuncLog), foldUnary(math.Log)},
		"Sqrt":       {importPointwise(models.FuncSqrt), foldUnary(math.Sqrt)},
		"Erf":        {importPointwise(models.FuncErf), foldUnary(math.Erf)},
		"Reciprocal": {importPointwise(models.FuncReciprocal), foldUnary(func(x float64) float64 { return 1 / x })},
		"Sin":        {importPointwise(models.FuncSin), foldUnary(math.Sin)},
		"Cos":        {importPointwise(models.FuncCos), foldUnary(math.Cos)},
		"Floor":      {fold: foldUnary(math.Floor)},
		"Ceil":       {fold: foldUnary(math.Ceil)},
		"Round":      {layer: importRound, fold: foldUnary(math.RoundToEven)},
	}
}

func norms() map[string]operator {
	return map[string]operator{
		"BatchNormalization":    {layer: importBatchNorm},
		"LayerNormalization":    {layer: importLayerNorm},
		"RMSNormalization":      {layer: importRMSNorm},
		"GroupNormalization":    {layer: importGroupNorm},
		"InstanceNormalization": {layer: importInstanceNorm},
		"LRN":                   {layer: importLRN},
	}
}

func pools() map[string]operator {
	return map[string]operator{
		"MaxPool":           {layer: importMaxPool},
		"AveragePool":       {layer: importAveragePool},
		"GlobalAveragePool": {layer: importGlobal(models.ReduceByMean)},
		"GlobalMaxPool":     {layer: importGlobal(models.ReduceByMax)},
		"ReduceMean":        {layer: importReduce(models.ReduceByMean)},
		"ReduceSum":         {layer: importReduce(models.ReduceBySum)},
		"ReduceMax":         {layer: importReduce(models.ReduceByMax)},
		"ReduceMin":         {layer: importReduce(models.ReduceByMin)},
		"ReduceProd":        {importReduce(models.ReduceByProduct), foldReduceProd},
		"ReduceL1":          {layer: importReduce(models.ReduceByL1)},
		"ReduceL2":          {layer: importReduce(models.ReduceByL2)},
		"ReduceSumSquare":   {layer: importReduce(models.ReduceBySumSquare)},
		"ReduceLogSumExp":   {layer: importReduce(models.ReduceByLogSumExp)},
	}
}

func shapes() map[string]operator {
	return map[string]operator{
		"Identity":        {importSame, foldIdentity},
		"Dropout":         {layer: importDropout},
		"Cast":            {importSame, foldCast},
		"CastLike":        {importSame, foldCast},
		"Reshape":         {importReshape, foldReshape},
		"Flatten":         {importFlatten, foldFlatten},
		"Squeeze":         {importSqueeze, foldSqueeze},
		"Unsqueeze":       {importUnsqueeze, foldUnsqueeze},
		"Transpose":       {importTranspose, foldTranspose},
		"Concat":          {importConcat, foldConcat},
		"Slice":           {importSlice, foldSlice},
		"Split":           {layer: importSplit},
		"Gather":          {importGather, foldGather},
		"Pad":             {layer: importPad},
		"Tile":            {layer: importTile},
		"Expand":          {layer: importExpand},
		"Resize":          {layer: importResize},
		"Upsample":        {layer: importResize},
		"DepthToSpace":    {layer: importDepthToSpace},
		"SpaceToDepth":    {layer: importSpaceToDepth},
		"Shape":           {layer: importShape},
		"Size":            {fold: foldSize},
		"Constant":        {fold: foldConstant},
		"ConstantOfShape": {layer: importConstantOfShape},
		"Range":           {fold: foldRange},
		"Where":           {fold: foldWhere},
		"NonZero":         {fold: foldNonZero},
		"ScatterND":       {fold: foldScatterND},

		"QuantizeLinear":   {layer: (*importer).quantise},
		"DequantizeLinear": {fold: foldDequantizeLinear},
	}
}

func comparisons() map[string]operator {
	return map[string]operator{
		"Equal":          {fold: foldCompare(func(x, y float64) bool { return x == y }, 0)},
		"Greater":        {fold: foldCompare(func(x, y float64) bool { return x > y }, 0)},
		"GreaterOrEqual": {fold: foldCompare(func(x, y float64) bool { return x >= y }, 0)},
		"Less":           {fold: foldCompare(func(x, y float64) bool { return x < y }, 0)},
		"LessOrEqual":    {fold: foldCompare(func(x, y float64) bool { return x <= y }, 0)},
		"And":            {fold: foldCompare(func(x, y float64) bool { return x != 0 && y != 0 }, 0)},
		"Or":             {fold: foldCompare(func(x, y float64) bool { return x != 0 || y != 0 }, 1)},
		"Not":            {fold: foldUnary(func(x float64) float64 { return 1 - x })},
	}
}
