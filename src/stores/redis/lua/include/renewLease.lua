-- Renews the lease and answers with one text, because Redis takes much longer to answer with a table.
-- GT: never ends earlier than an answer has promised before. Needs: call, key, leaseMs, progress
call("PEXPIRE", key, leaseMs, "GT")
return ("OK %d %s"):format(call("PEXPIRETIME", key), progress)
