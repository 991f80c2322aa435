/** Limits of one client, and what all clients share. Times are in milliseconds, sizes in bytes unless stated otherwise. */
export interface Limits {
  /** For a TLS handshake, for the first bytes of a connection, and for the settings of an HTTP/2 session. */
  readonly helloMs: number;
  /** HTTP/1: for the headers of a request. */
  readonly headersMs: number;
  /** For a whole request. */
  readonly requestMs: number;
  /** For the client to take an answer, or any of an answer that goes on. Downloads have a limit of their own. */
  readonly takeMs: number;
  /** How often the limits of requests over HTTP/2 and of answers that wait are checked. */
  readonly sweepMs: number;
  /** HTTP/1: how often the limits of a request are checked. */
  readonly checkMs: number;
  /** HTTP/1: between two requests. */
  readonly keepAliveMs: number;
  /** HTTP/2: for an idle session. */
  readonly sessionIdleMs: number;
  /** For the peer to close its end of a connection that we have closed, and for the reset of a stream to be sent. */
  readonly lingerMs: number;
  /** For the headers of a request. */
  readonly maxHeaderBytes: number;
  /** HTTP/1: unanswered requests on one connection. The last of them is the last one that the connection carries. */
  readonly maxPipelined: number;
  /** HTTP/2: requests at a time on a connection on which nobody has been authenticated. */
  readonly maxStreamsOfStranger: number;
  /** HTTP/2: requests at a time on any other connection. */
  readonly maxConcurrentStreams: number;
  /** HTTP/2: memory of one session, in megabytes. */
  readonly maxSessionMegabytes: number;
  /** All connections together: answers that wait until their clients take them; for a moment up to twice as many. */
  readonly maxUnsentBytes: number;
}

export const defaultLimits: Limits = {
  helloMs: 10_000,
  headersMs: 10_000,
  // Bodies are small: even a mobile network sends the largest in a second.
  requestMs: 30_000,
  // Answers are small as well, but for downloads.
  takeMs: 30_000,
  // Answers that nobody takes can come in at a hundred megabytes a second.
  sweepMs: 250,
  checkMs: 1_000,
  // Longer than the 60 s after which common load balancers drop an idle connection: the side that closes first loses no request.
  keepAliveMs: 75_000,
  // Twice the default lease: no client that keeps a lease alive is ever this quiet.
  sessionIdleMs: 600_000,
  lingerMs: 1_000,
  maxHeaderBytes: 16_384,
  // Clients that pipeline at all send about ten requests ahead.
  maxPipelined: 16,
  // What clients assume before they have read our settings.
  maxStreamsOfStranger: 100,
  // A load balancer puts the calls of many clients on few connections.
  maxConcurrentStreams: 1_000,
  maxSessionMegabytes: 32,
  // What thousands of clients leave waiting that all read at their pace.
  maxUnsentBytes: 32 * 2 ** 20,
};
