NO = 0
