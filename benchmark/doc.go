// Package benchmark decides what a benchmark asks, whether a reply is right, and what the results of a run say: suites
// of cases, graders, statistics, who leads, who got worse, and who may be promoted. It is pure: it calls no model but one
// that is handed in to grade, and knows no Temporal, no HTTP and no database.
//
// benchmark/report writes a run as Markdown, CSV, JUnit XML and HTML.
package benchmark
