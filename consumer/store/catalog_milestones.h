// The part of check_catalog that is about milestones.
#pragma once

#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/catalog.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Adds what the statement that announces the aggregate's milestones lacks: tables, columns, rights,
// and whatever else Postgres says of it. Throws WorldError.
void check_milestones(PgConnection& connection, const Declaration& declaration,
                      AggregateIndex aggregate, std::vector<CatalogProblem>& problems);

}  // namespace tidemark
