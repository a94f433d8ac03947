// Asks GoogleSQL's own analyzer, which BigQuery is built on, about a script of statements.
//
// Standard input: {"dataset": NAME, "connection": NAME, "tables": {NAME: [[COLUMN, TYPE], ...]},
// "statements": [SQL, ...]}. Standard output: a line of JSON a statement, {"error": TEXT} or
// {"columns": [[COLUMN, TYPE], ...]}. A view that a statement creates is there for those after it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	sql "github.com/goccy/go-googlesql"
)

type column = [2]string

type question struct {
	Dataset, Connection string
	Tables              map[string][]column
	Statements          []string
}

type answer struct {
	Error   string   `json:"error,omitempty"`
	Columns []column `json:"columns"`
}

type asked struct {
	catalog, dataset *sql.SimpleCatalog
	options          *sql.AnalyzerOptions
	types            *sql.TypeFactory
}

func main() {
	var given question
	check(json.NewDecoder(os.Stdin).Decode(&given))
	check(sql.Init())
	to := prepare(given)
	for name, columns := range given.Tables {
		to.addTable(name, columns)
	}
	lines := json.NewEncoder(os.Stdout)
	for _, statement := range given.Statements {
		check(lines.Encode(to.analyze(statement)))
	}
}

func prepare(given question) asked {
	language := must(sql.NewLanguageOptions())
	check(language.EnableMaximumLanguageFeatures())
	check(language.SetProductMode(sql.ProductModeProductExternal))
	check(language.SetSupportsAllStatementKinds())
	for _, feature := range []sql.LanguageFeature{ // BigQuery's, and off by default
		sql.LanguageFeatureFeatureCreateExternalTableWithConnection,
		sql.LanguageFeatureFeatureCreateExternalTableWithPartitionColumns,
		sql.LanguageFeatureFeatureCreateExternalTableWithTableElementList,
	} {
		check(language.EnableLanguageFeature(feature))
	}
	catalog := must(sql.NewSimpleCatalog("project", nil))
	functions := &sql.BuiltinFunctionOptions{LanguageOptions: language}
	check(catalog.AddBuiltinFunctionsAndTypes(functions))
	check(catalog.AddConnection(must(sql.NewSimpleConnection(given.Connection))))
	options := must(sql.NewAnalyzerOptions2())
	check(options.SetLanguage(language))
	dataset := must(catalog.MakeOwnedSimpleCatalog(given.Dataset))
	return asked{catalog, dataset, options, must(sql.NewTypeFactory())}
}

func (to asked) analyze(statement string) answer {
	output, err := sql.AnalyzeStatement(statement, to.options, to.catalog, to.types)
	if err != nil {
		return answer{Error: err.Error()}
	}
	switch found := must(output.ResolvedStatement()).(type) {
	case *sql.ResolvedQueryStmt:
		return answer{Columns: columnsOf(must(found.OutputColumnList()))}
	case *sql.ResolvedCreateViewStmt:
		columns := columnsOf(must(found.OutputColumnList()))
		path := must(found.NamePath())
		to.addTable(path[len(path)-1], columns)
		return answer{Columns: columns}
	}
	return answer{}
}

func (to asked) addTable(name string, columns []column) {
	table := must(sql.NewSimpleTable(name, 0))
	for _, column := range columns {
		made := must(sql.NewSimpleColumn(name, column[0], to.typeOf(column[1]), false, true))
		check(table.AddColumn2(made, false))
	}
	check(to.dataset.AddTable(table))
}

func (to asked) typeOf(name string) sql.Googlesql_TypeNode {
	if item, isArray := strings.CutPrefix(name, "ARRAY<"); isArray {
		return must(to.types.MakeArrayType2(to.typeOf(strings.TrimSuffix(item, ">"))))
	}
	if list, isStruct := strings.CutPrefix(name, "STRUCT<"); isStruct {
		var fields []*sql.StructField
		for _, field := range strings.Split(strings.TrimSuffix(list, ">"), ", ") {
			part, kind, _ := strings.Cut(field, " ")
			fields = append(fields, &sql.StructField{Name: part, Type_: to.typeOf(kind)})
		}
		return must(to.types.MakeStructType2(fields))
	}
	makers := map[string]func() (sql.Googlesql_TypeNode, error){
		"BOOL": to.types.GetBool, "DATE": to.types.GetDate, "FLOAT64": to.types.GetDouble,
		"INT64": to.types.GetInt64, "STRING": to.types.GetString, "TIMESTAMP": to.types.GetTimestamp,
		"BYTES": to.types.GetBytes, "GEOGRAPHY": to.types.GetGeography,
	}
	maker, known := makers[name]
	if !known {
		panic(fmt.Sprintf("a type that no table has: %q", name))
	}
	return must(maker())
}

func columnsOf(list []*sql.ResolvedOutputColumn) []column {
	columns := make([]column, 0, len(list))
	for _, output := range list {
		kind := must(must(must(output.Column()).Type()).DebugString(false))
		kind = strings.ReplaceAll(kind, "DOUBLE", "FLOAT64") // its name outside of BigQuery
		columns = append(columns, column{must(output.Name()), kind})
	}
	return columns
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
