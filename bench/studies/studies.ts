import type { Study } from "../study.ts";
import { downloadsStudy } from "./downloads.ts";
import { idleSessionsStudy } from "./idle-sessions.ts";
import { limitStudy } from "./limit.ts";
import { overloadStudy } from "./overload.ts";
import { redisStudy } from "./redis.ts";
import { sessionsStudy } from "./sessions.ts";
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
