// Package evaluation measures predictions: how often they are right and how sure one can be of that, whether their
// confidence means what it says, how well a confidence tells two kinds of question apart, and what a linear
// baseline reaches on the same rows. It is pure: texts, labels and probabilities in, figures out. It knows no
// model, no HTTP and no file but the lines of one.
//
// docs/evaluation.md of the project has each figure's formula and source.
package evaluation
