/* One plan of three steps, from its question to its last use: two daemons' workers that are presented any call at
 * any time, an approver who may deny later, somebody whose word counts for one step alone or for none, an owner
 * who ends the task, and the outcome of each step.
 *
 * Properties, each an assertion:
 *   1. a step is used once;
 *   2. a step is used when the one before it has succeeded, and not while it runs, nor when it failed;
 *   3. nothing is used by a plan that nobody approved, nor after a denial, after the task's end, or after a call
 *      that differed has committed;
 *   4. what is left of a plan that is over is held no more;
 *   5. a step is denied by nobody but whose word counts for it, and never when it was used.
 *
 * An atomic block is one transaction. -DNO_<GUARD> takes a guard out; each one that is out breaks a property.
 * That a step is used as any approval is, is said by approval.pml.
 */

#define STEPS 3
#define CALLS 3                 /* of each worker */

mtype = { plan_pending, plan_approved, plan_denied, plan_withdrawn, plan_superseded, plan_consumed };
mtype = { step_held, step_permitted, step_succeeded, step_failed, step_refused, step_over };

mtype plan = plan_pending;
mtype step[4];                  /* from 1 */
byte used;                      /* how many, from the first on */
bool ended;                     /* the task, before what it was asked is taken back */

/* What only the properties look at. */
byte uses[4];
bool approved_once, denied_once, differed;

#define IS_OPEN (plan == plan_pending || plan == plan_approved)

/* G: the next step, and no other. */
#ifdef NO_TURN
#define TURN(n) (n > used)
#else
#define TURN(n) (n == used + 1)
#endif

/* G: what was used is not there to be used. */
#ifdef NO_ONCE
#define UNUSED(n) (step[n] != step_over && step[n] != step_refused)
#define NEXT(n) (TURN(n) || n == used)
#else
#define UNUSED(n) (step[n] == step_held)
#define NEXT(n) TURN(n)
#endif

/* G: the one before does not run any more. */
#ifdef NO_RUNS
#define RUNS(n) false
#else
#define RUNS(n) (n > 1 && step[n - 1] == step_permitted)
#endif

/* G: it has not failed, and its outcome is not unknown. */
#ifdef NO_FAILED
#define FAILED(n) false
#else
#define FAILED(n) (n > 1 && step[n - 1] == step_failed)
#endif

#ifdef NO_APPROVED
#define APPROVED true
#else
#define APPROVED (plan == plan_approved)
#endif

#ifdef NO_TASK
#define TASK true
#else
#define TASK (!ended)
#endif

/* G: a denial is final, also of a plan that runs. */
#ifdef NO_DENIABLE
#define DENIABLE (plan == plan_pending)
#else
#define DENIABLE IS_OPEN
#endif

/* G: a word that counts for no step that is left denies nothing. */
#ifdef NO_ENTITLED
#define ENTITLED true
#else
#define ENTITLED (theirs > used)
#endif

/* G: who denies one step has not denied the others. */
#ifdef NO_OTHERS
#define REST step_refused
#else
#define REST step_over
#endif

#define MAY_USE(n) (IS_OPEN && n > 0 && NEXT(n) && UNUSED(n) && APPROVED && TASK && !RUNS(n) && !FAILED(n))

inline over(to, then) {
    plan = to;
    i = 1;
    do
    :: i <= STEPS ->
        if
        :: step[i] == step_held -> step[i] = then
        :: else -> skip
        fi;
        i++
    :: else -> break
    od
}

inline settled() {
    assert(IS_OPEN || (step[1] != step_held && step[2] != step_held && step[3] != step_held))      /* 4 */
}

inline use(n) {
    assert(uses[n] == 0);                                                           /* 1 */
    uses[n]++;
    assert(n == 1 || step[n - 1] == step_succeeded);                                /* 2 */
    assert(approved_once);                                                          /* 3 */
    assert(!denied_once);                                                           /* 3 */
    assert(!ended);                                                                 /* 3 */
    assert(!differed);                                                              /* 3 */
    step[n] = step_permitted;
    used = n;
    if
    :: used == STEPS -> plan = plan_consumed
    :: else -> skip
    fi
}

proctype Worker() {
    byte n, i, calls;
    bool may;

    do
    :: calls < CALLS ->
        calls++;
        select(n : 0 .. 3);                         /* 0: a call that is no step of it */
        atomic { may = MAY_USE(n) };                /* evaluation: read only, outside the lock */
#ifdef NO_TRANSACTION
        atomic {                                    /* G: what was looked at before is believed */
            if
            :: may -> use(n)
            :: else -> skip
            fi
        };
#endif
        atomic {                                    /* the check and the use are one transaction */
            if
            :: !IS_OPEN || !TASK -> skip
            :: IS_OPEN && TASK && MAY_USE(n) -> use(n)
            :: IS_OPEN && TASK && !MAY_USE(n) && n > 0 && NEXT(n) && FAILED(n) -> over(plan_superseded, step_over)
            :: IS_OPEN && TASK && !MAY_USE(n) && n > 0 && NEXT(n) && !FAILED(n) -> skip     /* it waits */
            :: IS_OPEN && TASK && !MAY_USE(n) && (n == 0 || !NEXT(n)) ->
                differed = true;
#ifndef NO_DIFFERS
                over(plan_superseded, step_over)               /* G: the first that differs ends what is left */
#endif
            fi;
            settled()
        }
    :: true -> break
    od
}

/* Who approves may deny later; or somebody else does, whose word counts for one step alone, or for none. */
proctype Approver() {
    byte i;
    byte theirs;                /* the step for which the word of the other one counts; 0: none */

    atomic {
        if
        :: plan == plan_pending -> plan = plan_approved; approved_once = true
        :: true -> skip
        fi
    };
    atomic {
        select(theirs : 0 .. 3);
        if
        :: DENIABLE ->
            denied_once = true;
            over(plan_denied, step_refused)
#ifdef NO_DENIABLE
        :: plan == plan_approved -> denied_once = true
#endif
#ifdef NO_VETO
        :: IS_OPEN && ENTITLED -> denied_once = true    /* G: a plan takes a veto from nobody */
#else
        :: IS_OPEN && ENTITLED ->
            denied_once = true;
            assert(theirs > 0 && step[theirs] == step_held);                        /* 5 */
            step[theirs] = step_refused;
#ifndef NO_REST
            over(plan_denied, REST);                    /* G: what is left is over by it */
#endif
            assert(theirs == 1 || step[1] != step_refused);                         /* 5 */
            assert(theirs == 2 || step[2] != step_refused);                         /* 5 */
            assert(theirs == 3 || step[3] != step_refused)                          /* 5 */
#endif
        :: true -> skip
        fi;
        settled();
        theirs = 0;             /* what is not looked at any more tells no states apart */
        i = 0
    }
}

/* The task ends; what is left is taken back in a later transaction. */
proctype Owner() {
    byte i;

    if
    :: ended = true
    :: skip
    fi;
    atomic {
        if
        :: ended && IS_OPEN -> over(plan_withdrawn, step_over)
        :: else -> skip
        fi;
        settled()
    }
}

/* What comes of a step that was permitted: the tool answered, or anything else. */
proctype Outcome(byte n) {
    if
    :: atomic { step[n] == step_permitted ->
        if
        :: step[n] = step_succeeded
        :: step[n] = step_failed
        fi }
    :: skip
    fi
}

init {
    atomic {
        step[1] = step_held;
        step[2] = step_held;
        step[3] = step_held;
        run Worker();
        run Worker();
        run Approver();
        run Owner();
        run Outcome(1);
        run Outcome(2);
        run Outcome(3)
    }
}
