package analysis

import (
	"strings"

	"github.com/querycache/querycache/internal/sqltok"
)

// passPragmas neither change data nor what a statement means, with or without a
// value. Some take locks or move pages, which no reader can tell.
var passPragmas = set(`analysis_limit application_id auto_vacuum automatic_index busy_timeout cache_size cache_spill
	cell_size_check checkpoint_fullfsync collation_list compile_options data_version database_list
	default_cache_size foreign_key_check foreign_key_list freelist_count fullfsync function_list hard_heap_limit
	incremental_vacuum index_info index_list index_xinfo integrity_check journal_mode journal_size_limit
	locking_mode max_page_count mmap_size module_list optimize page_count page_size parser_trace pragma_list
	quick_check secure_delete shrink_memory soft_heap_limit stats synchronous table_info table_list table_xinfo
	threads user_version vdbe_addoptrace vdbe_debug vdbe_listing vdbe_trace wal_autocheckpoint wal_checkpoint`)

// sessionPragmas change what later statements of their connection mean, or may
// do, when they are given a value.
var sessionPragmas = set(`case_sensitive_like count_changes data_store_directory defer_foreign_keys
	empty_result_callbacks encoding foreign_keys full_column_names ignore_check_constraints legacy_alter_table
	legacy_file_format query_only read_uncommitted recursive_triggers reverse_unordered_selects
	short_column_names temp_store temp_store_directory trusted_schema`)

// schemaPragmas change the schema, or open it to changes, when they are given
// a value.
var schemaPragmas = set(`schema_version writable_schema`)

// pragma fills in the plan of a PRAGMA. It is told by its text alone: many take
// effect while they are compiled.
func pragma(p *Plan, s statement) {
	p.ReturnsRows = true
	name, value, given := pragmaOf(s)
	switch {
	case passPragmas[name]:
		p.Kind = Pass
		// Without a journal a ROLLBACK has nothing to undo with.
		p.NoRollback = name == "journal_mode" && given && value == "off"
	case sessionPragmas[name] && !given, schemaPragmas[name] && !given:
		p.Kind = Pass
	case sessionPragmas[name]:
		p.Kind, p.Session = Session, true
		p.DirtyReads = name == "read_uncommitted" && !off(value)
	case schemaPragmas[name]:
		p.Kind, p.Session, p.Everything = Schema, true, true
	default:
		p.Kind, p.Session, p.Private, p.Everything = Opaque, true, true, true
	}
}

// pragmaOf takes PRAGMA [schema.]name [= value | (value)] apart.
func pragmaOf(s statement) (name, value string, given bool) {
	i := 1
	if s.at(2).Kind == sqltok.Dot {
		i = 3
	}
	if !s.at(i).IsName() {
		return "", "", false
	}
	name = s.name(i)
	if i+1 >= len(s.toks) {
		return name, "", false
	}
	if i+2 < len(s.toks) {
		value = strings.ToLower(s.at(i + 2).Unquote(s.text))
	}
	return name, value, true
}

// off reports whether SQLite surely takes the value of a PRAGMA for false.
func off(value string) bool {
	switch value {
	case "0", "off", "no", "false":
		return true
	default:
		return false
	}
}
