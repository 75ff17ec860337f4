package sqltok

// Keyword is a bare word that this project looks at, one byte to compare. A
// keyword may still be used as a name where the engine allows it.
type Keyword uint8

// The keywords. Each is named as it is written; UnderRowID is _rowid_.
const (
	KwAbort Keyword = iota + 1
	KwAfter
	KwAll
	KwAlter
	KwAnalyze
	KwAnd
	KwAs
	KwAttach
	KwBefore
	KwBegin
	KwBetween
	KwBy
	KwCascade
	KwCase
	KwCheck
	KwCollate
	KwCommit
	KwConflict
	KwCreate
	KwCurrentDate
	KwCurrentTime
	KwCurrentTimestamp
	KwDatabase
	KwDefault
	KwDeferred
	KwDelete
	KwDetach
	KwDistinct
	KwDo
	KwDrop
	KwEach
	KwElse
	KwEnd
	KwEscape
	KwExcept
	KwExclusive
	KwExists
	KwExplain
	KwFail
	KwFilter
	KwFor
	KwFrom
	KwGenerated
	KwGlob
	KwGroup
	KwHaving
	KwIf
	KwIgnore
	KwImmediate
	KwIn
	KwIndex
	KwIndexed
	KwInsert
	KwInstead
	KwIntersect
	KwInto
	KwIs
	KwIsnull
	KwJoin
	KwKey
	KwLike
	KwLimit
	KwMatch
	KwMaterialized
	KwNot
	KwNothing
	KwNotnull
	KwNull
	KwOf
	KwOffset
	KwOID
	KwOn
	KwOr
	KwOrder
	KwOver
	KwPartition
	KwPlan
	KwPragma
	KwPrimary
	KwQuery
	KwRaise
	KwRecursive
	KwReferences
	KwRegexp
	KwReindex
	KwRelease
	KwRename
	KwReplace
	KwReturning
	KwRollback
	KwRow
	KwRowID
	KwUnderRowID
	KwSavepoint
	KwSelect
	KwSet
	KwTable
	KwTemp
	KwTemporary
	KwThen
	KwTo
	KwTransaction
	KwTrigger
	KwUnion
	KwUnique
	KwUpdate
	KwUsing
	KwVacuum
	KwValues
	KwView
	KwVirtual
	KwWhen
	KwWhere
	KwWindow
	KwWith
	KwWithout
)

const longestKeyword = 17

// sqliteKeywords finds a keyword by its spelling in lower case.
var sqliteKeywords = map[string]Keyword{
	"abort":             KwAbort,
	"after":             KwAfter,
	"all":               KwAll,
	"alter":             KwAlter,
	"analyze":           KwAnalyze,
	"and":               KwAnd,
	"as":                KwAs,
	"attach":            KwAttach,
	"before":            KwBefore,
	"begin":             KwBegin,
	"between":           KwBetween,
	"by":                KwBy,
	"cascade":           KwCascade,
	"case":              KwCase,
	"check":             KwCheck,
	"collate":           KwCollate,
	"commit":            KwCommit,
	"conflict":          KwConflict,
	"create":            KwCreate,
	"current_date":      KwCurrentDate,
	"current_time":      KwCurrentTime,
	"current_timestamp": KwCurrentTimestamp,
	"database":          KwDatabase,
	"default":           KwDefault,
	"deferred":          KwDeferred,
	"delete":            KwDelete,
	"detach":            KwDetach,
	"distinct":          KwDistinct,
	"do":                KwDo,
	"drop":              KwDrop,
	"each":              KwEach,
	"else":              KwElse,
	"end":               KwEnd,
	"escape":            KwEscape,
	"except":            KwExcept,
	"exclusive":         KwExclusive,
	"exists":            KwExists,
	"explain":           KwExplain,
	"fail":              KwFail,
	"filter":            KwFilter,
	"for":               KwFor,
	"from":              KwFrom,
	"generated":         KwGenerated,
	"glob":              KwGlob,
	"group":             KwGroup,
	"having":            KwHaving,
	"if":                KwIf,
	"ignore":            KwIgnore,
	"immediate":         KwImmediate,
	"in":                KwIn,
	"index":             KwIndex,
	"indexed":           KwIndexed,
	"insert":            KwInsert,
	"instead":           KwInstead,
	"intersect":         KwIntersect,
	"into":              KwInto,
	"is":                KwIs,
	"isnull":            KwIsnull,
	"join":              KwJoin,
	"key":               KwKey,
	"like":              KwLike,
	"limit":             KwLimit,
	"match":             KwMatch,
	"materialized":      KwMaterialized,
	"not":               KwNot,
	"nothing":           KwNothing,
	"notnull":           KwNotnull,
	"null":              KwNull,
	"of":                KwOf,
	"offset":            KwOffset,
	"oid":               KwOID,
	"on":                KwOn,
	"or":                KwOr,
	"order":             KwOrder,
	"over":              KwOver,
	"partition":         KwPartition,
	"plan":              KwPlan,
	"pragma":            KwPragma,
	"primary":           KwPrimary,
	"query":             KwQuery,
	"raise":             KwRaise,
	"recursive":         KwRecursive,
	"references":        KwReferences,
	"regexp":            KwRegexp,
	"reindex":           KwReindex,
	"release":           KwRelease,
	"rename":            KwRename,
	"replace":           KwReplace,
	"returning":         KwReturning,
	"rollback":          KwRollback,
	"row":               KwRow,
	"rowid":             KwRowID,
	"_rowid_":           KwUnderRowID,
	"savepoint":         KwSavepoint,
	"select":            KwSelect,
	"set":               KwSet,
	"table":             KwTable,
	"temp":              KwTemp,
	"temporary":         KwTemporary,
	"then":              KwThen,
	"to":                KwTo,
	"transaction":       KwTransaction,
	"trigger":           KwTrigger,
	"union":             KwUnion,
	"unique":            KwUnique,
	"update":            KwUpdate,
	"using":             KwUsing,
	"vacuum":            KwVacuum,
	"values":            KwValues,
	"view":              KwView,
	"virtual":           KwVirtual,
	"when":              KwWhen,
	"where":             KwWhere,
	"window":            KwWindow,
	"with":              KwWith,
	"without":           KwWithout,
}
