/* Nothing but the width of vectors, for those who ask which path runs here. */

#include "vectors.h"
