package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
)

// rewrite changes two things in a test file of go-sqlite3 and nothing else:
// sql.Register becomes SuiteRegister, and inside a function given to Raw the
// connection is unwrapped where *SQLiteConn is asserted of it. It returns the
// source and the functions that hold such an assertion.
func rewrite(src []byte) (out []byte, unwrapped []string, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", src, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	var edits []edit
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if isSQLRegister(call) {
				edits = append(edits, editAt(fset, call.Fun, "SuiteRegister"))
			}
			for _, conn := range assertedInRaw(call) {
				edits = append(edits, editAt(fset, conn, "SuiteUnwrap("+conn.Name+")"))
				unwrapped = append(unwrapped, fn.Name.Name)
			}
			return true
		})
	}
	return apply(src, edits), unwrapped, nil
}

func isSQLRegister(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Register" {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "sql"
}

// assertedInRaw returns the uses of the parameter of x.Raw(func(param any) error
// {...}) of which *SQLiteConn is asserted.
func assertedInRaw(call *ast.CallExpr) []*ast.Ident {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Raw" || len(call.Args) != 1 {
		return nil
	}
	fn, ok := call.Args[0].(*ast.FuncLit)
	if !ok || len(fn.Type.Params.List) != 1 || len(fn.Type.Params.List[0].Names) != 1 {
		return nil
	}
	param := fn.Type.Params.List[0].Names[0].Name
	var found []*ast.Ident
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		assert, ok := n.(*ast.TypeAssertExpr)
		if !ok {
			return true
		}
		conn, isIdent := assert.X.(*ast.Ident)
		pointer, isPointer := assert.Type.(*ast.StarExpr)
		if !isIdent || conn.Name != param || !isPointer {
			return true
		}
		if of, ok := pointer.X.(*ast.Ident); ok && of.Name == "SQLiteConn" {
			found = append(found, conn)
		}
		return true
	})
	return found
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

func editAt(fset *token.FileSet, n ast.Node, text string) edit {
	return edit{fset.Position(n.Pos()).Offset, fset.Position(n.End()).Offset, text}
}

// apply makes the edits, which do not overlap, and leaves every other byte alone.
func apply(src []byte, edits []edit) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(src[at:e.start])
		out.WriteString(e.text)
		at = e.end
	}
	out.Write(src[at:])
	return out.Bytes()
}
