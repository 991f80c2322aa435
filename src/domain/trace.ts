/**
 * Runs work of a store as a part of the trace of the call that needs it; outside of a call it only runs it. The work may
 * return a promise.
 *
 * @param operation for example the name of a script
 */
export type TraceStore = <T>(operation: string, work: () => T) => T;

/** The headers of a request to another service that continue the trace of the call that needs it. */
export type TraceHeaders = () => Readonly<Record<string, string>>;
