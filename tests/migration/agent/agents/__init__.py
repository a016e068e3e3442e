from agents.sac import SAC
