package transformer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
)

// calibrationFile stands beside the weights it belongs to. A folder without it has uncalibrated probabilities.
const calibrationFile = "calibration.json"

// Calibration makes probabilities mean how often they are right. It was fitted on questions that its weights were not trained on, and
// belongs to those weights alone.
type Calibration struct {
	WeightsSHA256 string `json:"weights_sha256"` // of model.safetensors, lower-case hex
	// Temperatures divide the logits of each namespace's labels (Guo et al. 2017); 1 where there is none.
	Temperatures map[string]float64 `json:"temperatures"`
	// OutOfScope are the labels of TellerNamespace that say that a question is not about banking. What they get, Confidence lacks.
	OutOfScope []string `json:"out_of_scope"`
}

func (c Calibration) validate() error {
	for namespace, t := range c.Temperatures {
		if !(t > 0 && t < 100) {
			return fmt.Errorf("the temperature of %q is %v, must be above 0 and below 100", namespace, t)
		}
	}
	return nil
}

// parseCalibration reads a calibration.json for weights with the given checksum.
func parseCalibration(data []byte, weightsSHA256 string) (*Calibration, error) {
	var c Calibration
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", calibrationFile, err)
	}
	if c.WeightsSHA256 != weightsSHA256 {
		return nil, fmt.Errorf("%s is of weights with SHA-256 %s, these have %s: calibrate again", calibrationFile, c.WeightsSHA256, weightsSHA256)
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", calibrationFile, err)
	}
	return &c, nil
}

// SaveCalibration writes the calibration of the weights in a model's folder, tied to them by their checksum.
func SaveCalibration(dir string, b *Bundle, c Calibration) error {
	if c.WeightsSHA256 = b.Config.WeightsSHA256; c.WeightsSHA256 == "" {
		return errors.New("a calibration needs weights with a checksum")
	}
	if err := c.validate(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, calibrationFile), append(data, '\n'))
}

// Calibrated gives the probabilities of a namespace's labels from their log-probabilities: all of them, as ScoreNext and Result.LabelLogProbs have them.
func (b *Bundle) Calibrated(namespace string, logProbs []float64) []float64 {
	t := 1.0
	if b.Calibration != nil && b.Calibration.Temperatures[namespace] > 0 {
		t = b.Calibration.Temperatures[namespace]
	}
	scaled := make([]float64, len(logProbs))
	for i, l := range logProbs {
		scaled[i] = l / t
	}
	return Softmax(scaled)
}

// OutOfScope gives the labels of a namespace that say that a question is about none of its other labels. It is empty where the
// namespace has no such label, and, for TellerNamespace, where the bundle has no calibration.
func (b *Bundle) OutOfScope(namespace string) []string {
	if namespace == TellerNamespace {
		if b.Calibration == nil {
			return nil
		}
		return b.Calibration.OutOfScope
	}
	if set, ok := b.Tokenizer.LabelSet(namespace); ok && slices.Contains(set.Names, OutOfScopeLabel) {
		return []string{OutOfScopeLabel}
	}
	return nil
}

// scopeDoubt is the power to which the probability that a question is about banking enters the confidence. The plain product (1) tells
// questions about anything else apart less well; how well the confidence tells right from wrong is the same up to 6.
const scopeDoubt = 4

// Confidence says how sure one can be that a reply answers the question, 0 to 1: the calibrated probability of the likeliest label among those
// that are about banking, less where the question may be about something else. Such a question gets little, though "I only help with banking" may
// be just the reply for it. labelLogProbs is Result.LabelLogProbs. ok is false for a model without labels.
func (b *Bundle) Confidence(labelLogProbs []float64) (confidence float64, ok bool) {
	set, has := b.Tokenizer.LabelSet(TellerNamespace)
	if !has || len(labelLogProbs) != len(set.Names) {
		return 0, false
	}
	outOfScope, probabilities := b.OutOfScope(TellerNamespace), b.Calibrated(TellerNamespace, labelLogProbs)
	for i, p := range probabilities {
		if !slices.Contains(outOfScope, set.Names[i]) {
			confidence = math.Max(confidence, p)
		}
	}
	return math.Min(confidence, 1) * math.Pow(b.InScope(probabilities), scopeDoubt), true
}

// InScope is how likely a question is about banking, from the calibrated probabilities of TellerNamespace's labels: what those about anything
// else leave; 1 where the model cannot tell.
func (b *Bundle) InScope(probabilities []float64) float64 {
	set, ok := b.Tokenizer.LabelSet(TellerNamespace)
	if !ok {
		return 1
	}
	inScope := 1.0
	for _, label := range b.OutOfScope(TellerNamespace) {
		if at := slices.Index(set.Names, label); at >= 0 {
			inScope -= probabilities[at]
		}
	}
	return max(inScope, 0)
}
