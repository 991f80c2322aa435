/** What systemd, or a manager that speaks its protocol, expects of a service. */
export interface ServiceManager {
  /** How often it has to be notified, in ms; undefined: it does not watch. */
  readonly watchdogMs: number | undefined;
}

/**
 * Undefined when nothing waits for a notification. Variables that were meant for another process (`WATCHDOG_PID`) are
 * passed over.
 */
export function serviceManagerOf(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): ServiceManager | undefined {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = environment;
  if (!NOTIFY_SOCKET) return undefined;
  const isForThis = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid);
  const watchdogMs = Number(WATCHDOG_USEC) / 1000;
  return { watchdogMs: isForThis && watchdogMs > 0 ? watchdogMs : undefined };
}
