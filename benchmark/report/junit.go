package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"teller/benchmark"
)

// JUnit writes a test suite for each model and a test case for each case, as CI servers read it (Jenkins' junit-10.xsd and the
// schema of Apache Ant's JUnit task both hold): a wrong answer is a failure, a failed call an error. A model that was unavailable is a suite of one
// error. It ranges over rows once for each model of run, which has been summarised.
func JUnit(w io.Writer, run benchmark.Run, rows benchmark.Rows) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	out := xml.NewEncoder(w)
	out.Indent("", " ")
	root := xml.StartElement{Name: xml.Name{Local: "testsuites"}}
	if err := out.EncodeToken(root); err != nil {
		return err
	}
	names := slices.Sorted(slices.Values(modelNames(run)))
	for i, name := range names {
		if err := junitModel(out, run, i, name, rows); err != nil {
			return err
		}
	}
	if err := out.EncodeToken(root.End()); err != nil {
		return err
	}
	return out.Close()
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitCase struct {
	XMLName   xml.Name      `xml:"testcase"`
	Name      string        `xml:"name,attr"`
	ClassName string        `xml:"classname,attr"`
	Time      string        `xml:"time,attr"`
	Error     *junitProblem `xml:"error"`
	Failure   *junitProblem `xml:"failure"`
}

func junitModel(out *xml.Encoder, run benchmark.Run, id int, name string, rows benchmark.Rows) error {
	m := run.Models[name]
	tests, failures, errs := m.Cases, m.Accuracy.N-m.Accuracy.Count, m.Failures.Count
	if m.Status == benchmark.Unavailable {
		tests, errs = tests+1, errs+1
	}
	total := 0.0
	if m.AverageLatencyMS != nil {
		total = *m.AverageLatencyMS * float64(m.Accuracy.N)
	}
	attr := func(name, value string) xml.Attr { return xml.Attr{Name: xml.Name{Local: name}, Value: value} }
	suite := xml.StartElement{Name: xml.Name{Local: "testsuite"}, Attr: []xml.Attr{
		attr("id", fmt.Sprint(id)), attr("package", run.Suite), attr("name", name), attr("hostname", "teller"),
		attr("timestamp", run.Started.UTC().Format("2006-01-02T15:04:05")), attr("time", seconds(total)),
		attr("tests", fmt.Sprint(tests)), attr("failures", fmt.Sprint(failures)), attr("errors", fmt.Sprint(errs)),
	}}
	properties := struct {
		XMLName    xml.Name        `xml:"properties"`
		Properties []junitProperty `xml:"property"`
	}{Properties: []junitProperty{{"run", run.ID}, {"suite_hash", run.SuiteHash}, {"status", string(m.Status)}, {"served", m.Served}}}
	if err := out.EncodeToken(suite); err != nil {
		return err
	}
	if err := out.Encode(properties); err != nil {
		return err
	}
	if m.Status == benchmark.Unavailable {
		problem := &junitProblem{Message: string(m.Reason), Type: string(m.Status)}
		if err := out.Encode(junitCase{Name: "the model is available", ClassName: name, Time: seconds(0), Error: problem}); err != nil {
			return err
		}
	}
	if m.Cases > 0 && rows != nil {
		for row, err := range rows {
			if err != nil {
				return err
			}
			if row.Model != name {
				continue
			}
			if err := out.Encode(junitRow(row)); err != nil {
				return err
			}
		}
	}
	for _, empty := range []string{"system-out", "system-err"} {
		if err := out.EncodeElement("", xml.StartElement{Name: xml.Name{Local: empty}}); err != nil {
			return err
		}
	}
	return out.EncodeToken(suite.End())
}

func junitRow(row benchmark.CaseResult) junitCase {
	c := junitCase{Name: row.CaseID, ClassName: row.Model + "." + row.Category, Time: seconds(row.EndToEndMS)}
	switch {
	case row.Failed():
		c.Error = &junitProblem{Message: "no reply", Type: string(row.ErrorCode), Text: row.Error}
	case !row.Pass:
		text := strings.Join(row.Reasons, "\n")
		if row.Reply != "" {
			text += "\n\n" + row.Reply
		}
		message := "the reply is wrong"
		if len(row.Reasons) > 0 {
			message = row.Reasons[0]
		}
		c.Failure = &junitProblem{Message: message, Type: "wrong", Text: text}
	}
	return c
}

func seconds(ms float64) string { return fmt.Sprintf("%.3f", ms/1000) }
