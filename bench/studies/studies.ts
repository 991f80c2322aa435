import type { Study } from "../bench.ts";
import { sessionsStudy } from "../sessions.ts";
import { downloadsStudy } from "./downloads.ts";
import { idleSessionsStudy } from "./idle-sessions.ts";
import { limitStudy } from "./limit.ts";
import { overloadStudy } from "./overload.ts";
import { redisStudy } from "./redis.ts";
import { throughputStudies } from "./throughput.ts";

/** In the order in which they run. */
export const studies: readonly Study[] = [
  ...throughputStudies,
  limitStudy,
  overloadStudy,
  sessionsStudy,
  downloadsStudy,
  idleSessionsStudy,
  redisStudy,
];
