/* What recrank inspect shows beside models. */
#ifndef TOOLS_INSPECT_H
#define TOOLS_INSPECT_H

#include "tools/common.h"

/* Whether path is the folder of a LoRA adapter. */
bool inspect_is_adapter(const char *path);
/* Prints its settings and modules; returns the exit code. */
int inspect_adapter(const char *dir);

#endif
