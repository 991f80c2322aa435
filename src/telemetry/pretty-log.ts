import { isColorSupported, prettyFactory } from "pino-pretty";

export { isColorSupported };

/** What a finished call is logged with; on a terminal these members make up the message. */
export interface LoggedCall {
  readonly operation: string;
  readonly protocol: string;
  readonly outcome: string;
  readonly durationMs: number;
  readonly peer: string;
  readonly requestId: string;
  /** While traces are made. */
  readonly traceId: string | undefined;
  /** Method and path, or the JSON-RPC operation, of a request that led to no operation. */
  readonly target: string | undefined;
  readonly session: string | undefined;
  readonly item: string | undefined;
}

const callMembers = [
  "operation",
  "protocol",
  "outcome",
  "durationMs",
  "peer",
  "requestId",
  "traceId",
  "target",
  "session",
  "item",
] as const;

/** A line of JSON → a line for people. */
export function prettyLine(colorize: boolean): (json: string) => string {
  return prettyFactory({
    colorize,
    singleLine: true,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: callMembers.join(","),
    messageFormat: (line, messageKey) => {
      const message = String(line[messageKey]);
      if (!("operation" in line)) return message;
      if (!("requestId" in line)) return `${line.operation} ${line.outcome}: ${message}`;
      const call = describe(line as unknown as LoggedCall);
      return "count" in line ? `${message}, the last: ${call}` : call;
    },
  });
}

function describe({
  operation,
  protocol,
  outcome,
  durationMs,
  peer,
  requestId,
  traceId,
  target,
  session,
  item,
}: LoggedCall): string {
  const about =
    (session === undefined ? "" : ` session ${session}`) + (item === undefined ? "" : ` item ${item}`);
  const place = target === undefined ? "" : ` ${target}`;
  const trace = traceId === undefined ? "" : `, trace ${traceId}`;
  const text = `${operation}${place} ${outcome} ${durationMs.toFixed(1)} ms, ${protocol} from ${peer}${about}, request ${requestId}${trace}`;
  // A caller may have sent any text as the session: it must not control the terminal.
  return text.replace(/\p{C}/gu, "?");
}
