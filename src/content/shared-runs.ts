/**
 * Lets callers share runs of a piece of work. Each gets the outcome of a run that began after the call, so what
 * was true before the call is seen by the run; and no two runs overlap, however many callers there are.
 */
export function sharedRuns<T>(work: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  const startNext = () => {
    current = next;
    next = undefined;
    return work();
  };
  return () => {
    next ??= Promise.resolve(current).then(startNext, startNext);
    return next;
  };
}
