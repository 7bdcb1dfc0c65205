/* The syntax tree as text, one statement per line: what the tests of the parser and of variants compare. */
#ifndef HEDDLE_TESTS_FRONTEND_SHOW_H
#define HEDDLE_TESTS_FRONTEND_SHOW_H

#include "ast.h"

void show_statements(const Stmts *list, int level, Text *out);

#endif
