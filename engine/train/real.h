/* The number that training computes with: float, or double when the gradient test compiles these
 * same files to compare them with central differences. */
#ifndef RR_TRAIN_REAL_H
#define RR_TRAIN_REAL_H

#ifdef RR_TRAIN_DOUBLE
typedef double rr_real;
#else
typedef float rr_real;
#endif

#endif
