import type { Redis } from "ioredis";
import { resetConnection } from "./connector.ts";
import { RawCommand } from "./ioredis-internals.ts";
import { heartbeatMs, missedHeartbeats } from "./reconnect-policy.ts";

const ping = "*1\r\n$4\r\nPING\r\n";

/**
 * Replaces a connection that gives no sign of life, now and after every reconnect: TCP would keep it for up to 15
 * minutes after the other side has vanished. Answers come in the order of the commands, so that an answered PING shows
 * that nothing older is unanswered: commands that nobody waits for any more neither pile up nor are sent late.
 */
export function replaceWhenSilent(redis: Redis, missedLimit = missedHeartbeats): Redis {
  let timer: NodeJS.Timeout | undefined;
  const stop = () => clearInterval(timer);
  const start = () => {
    stop();
    let isWaiting = false;
    let missed = 0;
    const answered = () => {
      isWaiting = false;
    };
    timer = setInterval(() => {
      if (!isWaiting) {
        isWaiting = true;
        missed = 0;
        redis.sendCommand(new RawCommand("ping", "", ping, answered, answered));
      } else if (++missed === missedLimit) {
        stop();
        const silentMs = heartbeatMs * missedLimit;
        redis.emit("error", new Error(`no answer for ${silentMs} ms; the connection is replaced`));
        resetConnection(redis);
      }
    }, heartbeatMs).unref();
  };
  return redis.on("ready", start).on("close", stop).on("end", stop);
}
