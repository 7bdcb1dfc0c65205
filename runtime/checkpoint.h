/* Weights and checkpoints, both single safetensors files that are replaced atomically.
 *
 *   weights      params and the model's own states (running averages, and of a finished run the states by key): what
 *                evaluation and serving need
 *   checkpoint   besides these the optimizer's states, the states by key, and the place in the training run: all that a
 *                bitwise-identical resume needs. Random draws and the order of examples follow from seed, step and
 *                epoch, so no generator has a state */
#ifndef HEDDLE_CHECKPOINT_H
#define HEDDLE_CHECKPOINT_H

#include "keystate.h"

typedef struct {
    uint64_t seed, step; /* step: how many are done */
    int64_t epoch;
    int64_t position; /* examples of this epoch already used, in the epoch's order */
} TrainPlace;

/* `meta`: NULL-terminated key, value pairs for the header, or NULL. */
bool weights_write(Session *s, const char *path, int nkeyed, KeyState *const *keyed, const char *const *meta, Error *e);
/* Every param must be there with its shape; element types are converted. States are taken where given. Anything that
 * is neither, nor part of a checkpoint, is an error: it would be silently unused. `also`: names, ended by NULL, that
 * belong to the model but not to this plan (params of its training alone), or NULL. */
bool weights_read(Session *s, const char *path, const char *const *also, Error *e);
/* The states by key in weights or a checkpoint. */
bool states_read(const char *path, int nkeyed, KeyState *const *keyed, Error *e);

bool checkpoint_write(Session *s, const char *path, const TrainPlace *place, int nkeyed, KeyState *const *keyed,
                      const char *const *meta, Error *e);
bool checkpoint_read(Session *s, const char *path, TrainPlace *place, int nkeyed, KeyState *const *keyed, Error *e);

#endif
